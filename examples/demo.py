"""`make demo`: the main job at work, in a folder of its own. Standard library only.

Lays out .demo/purutos as a person would lay out ~/purutos: a copy of this program and the example siblings beside it.
Then it runs the commands of the README there and shows what they say. Nothing of yours is touched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
HOME = PROJECT / ".demo" / "purutos"
CRON = HOME / "puruto-cron"
SIBLINGS = ("puruto-data", "puruto-financial", "puruto-telegram")
#: The weekly job comes due so many seconds after the demo has synced it.
DUE_IN_SEC = 2


def say(text: str = "") -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def lay_out() -> None:
    """A fresh copy of the program, and the siblings beside it."""
    shutil.rmtree(PROJECT / ".demo", ignore_errors=True)
    CRON.mkdir(parents=True)
    for path in PROJECT.glob("*.py"):
        shutil.copy2(path, CRON)
    for name in (*(path.parent.name for path in PROJECT.glob("*/__init__.py")), "sql"):
        shutil.copytree(PROJECT / name, CRON / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SIBLINGS:
        shutil.copytree(PROJECT / "examples" / "purutos" / name, HOME / name)


def declare_jobs() -> None:
    """The samples, enabled; the weekly one is due in a moment instead of on Friday at nine.

    Not those of .jobs.json: they are yours.
    """
    file = json.loads((PROJECT / "examples" / "jobs.json").read_text(encoding="utf-8"))
    due = datetime.now(UTC) + timedelta(seconds=DUE_IN_SEC)
    for job in file["jobs"]:
        job["enabled"] = True
        if job["job_id"] == "sample-financial-weekly":
            job["schedule"] = f"@at {due:%Y-%m-%dT%H:%M:%S}+00:00"
    (CRON / ".jobs.json").write_text(json.dumps(file, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main_py(*words: str) -> dict[str, Any]:
    """Runs a command of the copy, as a person would, and returns the JSON that it prints."""
    say(f"\n$ python3 main.py {' '.join(words)}")
    # The demo speaks of its own folder, whatever the person has set for the real one.
    ours = ("PURUTO_", "DB_PATH")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, str(CRON / "main.py"), *words], env=environ, capture_output=True, text=True, check=False
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        sys.exit(f"`main.py {' '.join(words)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    if done.returncode:
        sys.exit(json.dumps(answer, ensure_ascii=False, indent=2))
    return answer


def show(value: Any) -> None:
    """JSON, indented as it would be on a terminal."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


def pick(source: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Some keys of an object; the whole is what the command prints."""
    return {name: source[name] for name in names}


def tick_until_due() -> dict[str, Any]:
    """Ticks as the system crontab would, until the weekly job has come due."""
    time.sleep(DUE_IN_SEC)
    for _ in range(20):
        report = main_py("tick")
        if report["due_jobs"]:
            return report
        time.sleep(0.5)
    sys.exit("The weekly job did not come due")


def main() -> None:
    """The demo, in six commands."""
    lay_out()
    say(f"A scratch copy of the program and its siblings is in {HOME.relative_to(PROJECT)}")
    show(main_py("init-db"))
    declare_jobs()
    show(pick(main_py("sync-jobs"), ("status", "synced_jobs", "added", "next")))

    say("\nThe weekly report is due in a moment. The system crontab would start this each minute:")
    report = tick_until_due()
    show(pick(report, ("status", "now", "due_jobs")))
    say(report["results"][0]["result"]["response"]["result"]["summary"])

    say("\nThe backup is due at half past two in the night. By hand, now:")
    backup = main_py("run-now", "daily-data-backup")
    show(pick(backup, ("status", "job_id", "run_id", "attempt", "notification_paths")))
    say(backup["result"]["response"]["result"]["summary"])

    say("\nEvery run is a row:")
    status = main_py("status")
    show(status["recent_runs"])
    say("\n… and an event, in notifications/events.jsonl and in the inbox of ../puruto-telegram:")
    for line in (CRON / "notifications" / "events.jsonl").read_text(encoding="utf-8").splitlines():
        say(line if len(line) <= 300 else f"{line[:300]}…")
    mirrored = (HOME / "puruto-telegram" / "inbox" / "cron-events.jsonl").read_text(encoding="utf-8")
    say(f"({mirrored.count(chr(10))} lines in ../puruto-telegram/inbox/cron-events.jsonl)")
    say(f"\nThe archive: {backup['result']['response']['result']['path']}")
    say(f"Look around: cd {CRON.relative_to(PROJECT)} && {sys.executable} main.py logs")


if __name__ == "__main__":
    main()
