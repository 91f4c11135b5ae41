"""Draws the pictures of the README: a day of example jobs, as `timeline` and `watch` show it.

    python3 tools/draw_pictures.py            writes docs/pictures/*.svg
    python3 tools/draw_pictures.py --check    writes nothing, names what is out of date, and exits 1 if anything is

The program itself draws them: its own commands make a database in a temporary folder and report on it, at a clock that
stands still. Only the history is written by hand, because no run of it ever took place. So the same program draws the
same pictures on every machine.
"""

from __future__ import annotations

import io
import json
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app.app import App  # noqa: E402
from commands import cli  # noqa: E402  (the folder of main.py is on the path only now)
from core.clock import utc_text  # noqa: E402

FOLDER = "docs/pictures"
ZONE = "Europe/Madrid"
#: A Wednesday evening in Madrid.
NOW = datetime(2026, 2, 25, 20, 4, 12, tzinfo=UTC)
_LAST_TICK = NOW.replace(second=2)
_COLUMNS, _LINES = 104, 27
_MINUTE = timedelta(minutes=1)

#: job_id, target, schedule. Each is drawn as one row.
_JOBS = (
    ("hourly-count", "puruto-shop", "0 * * * *"),
    ("mail-triage", "puruto-mail", "*/30 7-22 * * *"),
    ("market-prices", "puruto-financial", "15 9-18 * * 1-5"),
    ("news-digest", "puruto-news", "0 */4 * * *"),
    ("nightly-backup", "puruto-data", "30 2 * * *"),
    ("weekday-report", "puruto-reports", "45 20 * * 1-5"),
)

#: rich's SVG loads its font from a server; these fonts are on every machine.
_FONT = "ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"


class StandingClock:
    """A clock that is set from outside."""

    def __init__(self, now: datetime) -> None:
        self.wall = now

    def now(self) -> datetime:
        """Wall time, UTC."""
        return self.wall

    def monotonic(self) -> float:
        """Seconds that only grow; here they stand still."""
        return 0.0


class Scene:
    """A folder with the example jobs and their history, in which commands are run."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._clock = StandingClock(_LAST_TICK)

    def set_up(self) -> None:
        """Makes jobs, database and history, as they would be after a day."""
        jobs = [
            {"job_id": name, "puruto_target": target, "schedule": schedule, "prompt": "…", "command": ["true"]}
            for name, target, schedule in _JOBS
        ]
        (self._root / ".jobs.json").write_text(json.dumps({"jobs": jobs}), encoding="utf-8")
        for words in (("init-db",), ("sync-jobs",), ("tick",)):
            self.report(*words)
        with closing(sqlite3.connect(self._root / "db" / "cron.db")) as connection, connection:
            for row in history():
                names = ", ".join(row)
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO runs ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
        self._clock.wall = NOW

    def report(self, *words: str) -> dict[str, Any]:
        """The output of a command. Raises `RuntimeError` if it fails."""
        environ = {"PURUTO_CRON_TIMEZONE": ZONE, "TZ": "UTC", "HOME": str(self._root), "PATH": "/usr/bin:/bin"}
        app = App(self._clock, environ, str(self._root))
        # A real file: the commands write to the descriptor of stdout.
        with tempfile.TemporaryFile() as file, io.TextIOWrapper(file, encoding="utf-8") as out, redirect_stdout(out):
            code = cli.main(args=list(words), obj=app, standalone_mode=False)
            file.seek(0)
            text = file.read().decode()
        if code:
            raise RuntimeError(f"{' '.join(words)} ended with {code}: {text}")
        found: dict[str, Any] = json.loads(text)
        return found


def history() -> Iterator[dict[str, Any]]:
    """The rows of `runs`, oldest first in each job."""
    night = NOW.replace(hour=8, minute=0, second=0)
    # The machine slept from 12:10 to 15:05 UTC: the slots of that time were missed, and the newest of them ran late.
    asleep, awake = night.replace(hour=12, minute=10), night.replace(hour=15, minute=5)
    for hour in (*range(8, 13), *range(16, 21)):
        yield _run("hourly-count", night.replace(hour=hour), 1 + hour % 3)
    yield _missed("hourly-count", 2, night.replace(hour=13), night.replace(hour=14), awake)
    yield _run("hourly-count", night.replace(hour=15), 2, late=5)

    mail = [night + 30 * _MINUTE * number for number in range(25)]
    for number, slot in enumerate(mail):
        if asleep < slot < awake:
            continue
        if number == 7:
            yield _run("mail-triage", slot, 12, status="error", error=_error("AGENT_OVERLOADED", "claude: overloaded"))
        elif slot != mail[-1]:
            yield _run("mail-triage", slot, 4 + number * 5 % 7)
    yield _missed("mail-triage", 5, mail[9], mail[13], awake)
    yield _run("mail-triage", mail[14], 9, late=5)
    yield _running("mail-triage", mail[-1])

    for hour in (8, 9, 10, 11, 15, 16, 17):
        slot = night.replace(hour=hour, minute=15)
        failed = hour == 17
        error = _error("NONZERO_EXIT", "prices.py ended with exit code 1") if failed else None
        yield _run("market-prices", slot, 2 + hour % 4, status="error" if failed else "ok", error=error)
    yield _missed("market-prices", 2, night.replace(hour=12, minute=15), night.replace(hour=13, minute=15), awake)
    yield _run("market-prices", night.replace(hour=14, minute=15), 3, late=50)

    yield _run("news-digest", night.replace(hour=11), 70, status="interrupted", error=_error(
        "INTERRUPTED", "The run was interrupted: its scheduler host:22014 is gone"))  # fmt: skip
    yield _run("news-digest", night.replace(hour=15), 52, late=5)
    yield _run("news-digest", night.replace(hour=19), 43)

    for day in (20, 23, 24):
        yield _run("weekday-report", night.replace(day=day, hour=19, minute=45), 27 + day % 3)
    yield _running("weekday-report", night.replace(hour=19, minute=45))


def _run(
    job_id: str, slot: datetime, minutes: float, *, status: str = "ok", late: float = 0, error: str | None = None
) -> dict[str, Any]:
    start = slot + late * _MINUTE + timedelta(seconds=1)
    took = timedelta(minutes=minutes)
    return _row(job_id, slot, start) | {
        "status": status, "finished_at": utc_text(start + took), "error_json": error,
        "duration_ms": round(took.total_seconds() * 1000), "trigger": "catch_up" if late else "schedule", "attempt": 1,
    }  # fmt: skip


def _running(job_id: str, slot: datetime) -> dict[str, Any]:
    later = {"lease_token": job_id, "lease_expires_at": utc_text(NOW + 2 * _MINUTE)}
    return _row(job_id, slot, slot + timedelta(seconds=1)) | {"status": "running", "attempt": 1} | later


def _missed(job_id: str, count: int, first: datetime, last: datetime, noticed: datetime) -> dict[str, Any]:
    slots = {"first_slot": utc_text(first), "last_slot": utc_text(last)}
    error = json.dumps({"code": "SLOT_MISSED", "message": "", "details": slots})
    return _row(job_id, last, noticed) | {
        "status": "missed", "finished_at": utc_text(noticed), "error_json": error, "slots": count,
    }  # fmt: skip


def _row(job_id: str, slot: datetime, start: datetime) -> dict[str, Any]:
    target = next(target for name, target, _ in _JOBS if name == job_id)
    return {
        "run_id": f"{job_id}-{start:%Y%m%dT%H%M%S}", "job_id": job_id, "target": target, "trigger": "schedule",
        "scheduled_for": utc_text(slot), "started_at": utc_text(start),
    }  # fmt: skip


def _error(code: str, message: str) -> str:
    return json.dumps({"code": code, "message": message, "details": {}})


def timeline_picture(scene: Scene) -> str:
    """What `timeline --svg` writes."""
    from render.svg import picture

    return picture(scene.report("timeline", "--json")) + "\n"


def watch_picture(scene: Scene) -> str:
    """One frame of `watch`, as a terminal shows it."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI

    from render.console import ViewContext
    from render.watching import frame

    report = scene.report("watch", "--once", "--json")
    console = Console(
        record=True, file=io.StringIO(), width=_COLUMNS, force_terminal=True, color_system="truecolor", highlight=False,
        legacy_windows=False, _environ={},
    )  # fmt: skip
    console.print(frame(report, ViewContext(NOW, ZONE), _LINES), crop=True)
    drawn = console.export_svg(title="python3 main.py watch", theme=MONOKAI, unique_id="watch")
    drawn = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    return re.sub(r"font-family: [^;]+;", f"font-family: {_FONT};", drawn) + "\n"


def pictures() -> dict[str, str]:
    """Each picture's file name, and its SVG."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        scene.set_up()
        return {"timeline.svg": timeline_picture(scene), "watch.svg": watch_picture(scene)}


def words_of(svg: str) -> list[str]:
    """The texts of a picture, in their order."""
    from xml.etree import ElementTree as ET

    found = ["".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]  # noqa: S314 - ours
    return [text.replace("\xa0", " ") for text in found]


def outdated(root: Path) -> dict[Path, str]:
    """The pictures that are missing or show other texts."""
    return {root / FOLDER / name: text for name, text in pictures().items() if not _shows(root / FOLDER / name, text)}


def _shows(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    old = path.read_text(encoding="utf-8")
    # Another version of rich may draw the same texts differently.
    return old == text or (path.name == "watch.svg" and words_of(old) == words_of(text))


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Writes the pictures or, with `--check`, only names what is out of date. Returns the exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write(__doc__ or "")
        return 2
    if arguments:
        old = outdated(root)
        for path in old:
            sys.stderr.write(f"{path.relative_to(root)} is out of date; run: make pictures\n")
        return 1 if old else 0
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        (root / FOLDER / name).write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {FOLDER}/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
