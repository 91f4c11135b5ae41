"""Drains inbox/cron-events.jsonl, and with --deliver sends each event to Telegram.

    python3 inbox.py --limit 50
    python3 inbox.py --limit 50 --deliver
    python3 inbox.py --deliver --quiet        for a crontab: prints only when there was something to do, or is wrong

Run it with an interpreter that has `filelock`, and for --deliver `python-telegram-bot`: puruto-cron's own has
both after `make telegram` there. Prints one JSON object; exit
code 1 when the inbox can't be drained, or a delivery had to stop; 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from inbox_delivery import Stopped
from inbox_files import well_formed
from inbox_journal import Journal
from inbox_reader import FORWARDED, INBOX, Drain

ROOT = Path(__file__).resolve().parent
LOCK_WAIT_SEC = 60
NO_INBOX = "No existe inbox/cron-events.jsonl"


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        finish({"status": "error", "error": {"code": "USAGE", "message": message}}, 2)


def main(argv: list[str]) -> NoReturn:
    """One complete drain."""
    parser = _Arguments(prog="inbox.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=_count, default=50, help="events at most in one drain (50)")
    parser.add_argument("--deliver", action="store_true", help="send each event to Telegram")
    parser.add_argument("--quiet", action="store_true", help="print nothing when there was nothing to do")
    options = parser.parse_args(argv)
    if not (ROOT / INBOX).is_file():
        if options.quiet:
            raise SystemExit(0)
        finish({"status": "ok", "pending": 0, "processed": 0, "message": NO_INBOX}, 0)
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        failed("LIBRARY_MISSING", "filelock is not installed", "Run it with puruto-cron's .venv/bin/python.")
    try:
        os.makedirs(ROOT / "db", mode=0o700, exist_ok=True)
        with FileLock(ROOT / "db" / "inbox.lock", timeout=LOCK_WAIT_SEC):
            report, is_news = drain(options.limit, deliver=options.deliver)
    except Timeout:
        hint = "Wait for it; db/inbox.lock is freed when its process ends."
        failed("DRAIN_RUNNING", f"another drain holds the inbox since {LOCK_WAIT_SEC} s", hint)
    except OSError as error:
        failed("INBOX_UNUSABLE", f"{error.filename or ROOT}: {error.strerror}", "See to its owner, mode and disk.")
    if options.quiet and not is_news and "restarted" not in report:
        raise SystemExit(0)
    finish(report, 0 if report["status"] == "ok" else 1)


def drain(limit: int, *, deliver: bool) -> tuple[dict[str, Any], bool]:
    """Processes at most `limit` new lines. Returns the report to print, and whether it says anything new."""
    with Journal(ROOT / "db") as journal:
        work = Drain(ROOT, journal, limit)
        if not deliver:
            work.forward_all()
            return report_of(work, deliver=False), bool(work.processed)
        from telegram_sender import sender_of, what_is_missing

        try:
            settings = variables()
            if missing := what_is_missing(settings):
                work.skip_all(missing)
                return report_of(work, deliver=True, skipped_why=missing), bool(work.new)
            work.deliver_all(sender_of(settings, ROOT / "db"))
        except Stopped as stopped:
            return report_of(work, deliver=True, stopped=stopped), True
        return report_of(work, deliver=True), bool(work.processed)


def report_of(work: Drain, *, deliver: bool, stopped: Stopped | None = None, skipped_why: str = "") -> dict[str, Any]:
    """The report: the object of the contract, and what else happened."""
    report: dict[str, Any] = {
        "status": "ok" if stopped is None else "error",
        "processed": work.processed,
        "deliver": deliver,
        "delivered": work.counted["delivered"],
        "skipped_delivery": work.counted["skipped"],
        "offset": work.offset,
        "inbox_file": INBOX,
        "forwarded_log": FORWARDED,
        "preview": work.preview,
        "pending": work.pending(),
        "set_aside": work.set_aside,
    }
    if work.restarted:
        report["restarted"] = work.restarted
    if skipped_why:
        report["skipped_why"] = skipped_why
    if stopped is not None:
        report["error"] = {"code": stopped.code, "message": str(stopped), "details": stopped.details}
    return report


def variables() -> dict[str, str]:
    """The environment, which overrides .env if there is one. Empty variables count as unset. Raises `Stopped`."""
    found: dict[str, str | None] = {}
    if (ROOT / ".env").is_file():
        try:
            from dotenv import dotenv_values
        except ImportError:
            hint = "Run it with puruto-cron's .venv/bin/python."
            raise Stopped("LIBRARY_MISSING", "python-dotenv is not installed", hint=hint) from None
        try:
            found = dotenv_values(ROOT / ".env")
        except UnicodeError:
            raise Stopped("DOTENV_BAD_TEXT", ".env is not UTF-8", hint="Save .env as UTF-8.") from None
        except OSError as error:
            hint = "Make .env a readable text file, or remove it."
            raise Stopped("DOTENV_UNREADABLE", f".env can't be read: {error.strerror}", hint=hint) from None
    set_here = {name: value for name, value in os.environ.items() if value.strip()}
    return {**{name: value for name, value in found.items() if value}, **set_here}


def failed(code: str, message: str, hint: str) -> NoReturn:
    """Prints an error, and ends."""
    finish({"status": "error", "error": {"code": code, "message": message, "details": {"hint": hint}}}, 1)


def finish(answer: dict[str, Any], code: int) -> NoReturn:
    """Prints the one JSON object and ends."""
    # Bytes, because cron's locale may not have every character.
    sys.stdout.buffer.write(well_formed(json.dumps(answer, ensure_ascii=False)).encode() + b"\n")
    sys.stdout.flush()
    raise SystemExit(code)


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    if number < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return number


if __name__ == "__main__":
    main(sys.argv[1:])
