"""`make demo`: runs the main example job in its own folder. Standard library only.

Makes .demo/purutos as a user would make ~/purutos: a copy of this program, and the example siblings next to it.
Then it runs the commands of the README there and shows what they say. Nothing of yours is touched.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
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
    """Makes a new copy of the program, with the siblings next to it."""
    shutil.rmtree(PROJECT / ".demo", ignore_errors=True)
    CRON.mkdir(parents=True)
    for path in PROJECT.glob("*.py"):
        shutil.copy2(path, CRON)
    for name in (path.parent.name for path in PROJECT.glob("*/__init__.py")):
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
    say(f"\n$ python3 main.py {shlex.join(words)}")
    # The demo uses its own folder, whatever the user has set for the real one.
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


class Chat(BaseHTTPRequestHandler):
    """Replaces Telegram: accepts messages, and shows them."""

    def do_POST(self) -> None:
        """sendMessage. Source: core.telegram.org/bots/api#sendmessage."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body))
        say("\n".join(f"    │ {line}" for line in re.sub(r"\\(.)", r"\1", form["text"]).splitlines()))
        sent = {"message_id": 1, "date": 0, "chat": {"id": 1, "type": "private"}, "text": form["text"]}
        answer = json.dumps({"ok": True, "result": sent}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@contextmanager
def chat() -> Iterator[dict[str, str]]:
    """Runs a chat server on this machine; yields the variables that direct the bot to it."""
    server = HTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "PURUTO_TELEGRAM_BOT_TOKEN": "123456:demo",
            "PURUTO_TELEGRAM_DEFAULT_CHAT_ID": "1",
            "PURUTO_TELEGRAM_API_URL": f"http://127.0.0.1:{server.server_port}",
        }
    finally:
        server.shutdown()
        server.server_close()


def drain() -> dict[str, Any]:
    """Lets the sibling send the events in its inbox."""
    words = ("inbox.py", "--limit", "50", "--deliver")
    say(f"\n$ python3 {shlex.join(words)}        # in ../puruto-telegram; what a chat on this machine receives:")
    plain = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    with chat() as variables:
        done = subprocess.run(
            [sys.executable, *words], cwd=HOME / "puruto-telegram", env={**plain, **variables},
            stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"inbox.py ended with {done.returncode}:\n{done.stdout}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    """The demo, in seven commands."""
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
    say("\nThe sibling sends them to a chat:")
    show(pick(drain(), ("status", "processed", "delivered", "offset", "preview")))
    say(f"\nThe archive: {backup['result']['response']['result']['path']}")
    say(f"Look around: cd {shlex.quote(str(CRON))} && {shlex.quote(sys.executable)} main.py logs")


if __name__ == "__main__":
    main()
