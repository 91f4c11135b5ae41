"""A server that speaks the Bot API's sendMessage, on loopback, and a copy of the sibling that sends to it.

Source: core.telegram.org/bots/api#sendmessage.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.fork_server import Forked, ForkServer
from tests.workspace import ALWAYS_FRESH, PATIENCE, PROJECT, ended

TOKEN = "4711:s3cr3t-bot-token"
SIBLING = PROJECT / "examples" / "purutos" / "puruto-telegram"
#: Answers that are none: nothing at all, and half of one.
SILENCE = (0, b"")
HALF = (1, b'{"ok": tr')
Told = tuple[int, dict[str, Any] | bytes] | None


@dataclass
class BotApi:
    """Keeps the messages; `answer` may be replaced by a test: number and message → (HTTP status, body) or None."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[int, dict[str, Any]], Told] = lambda number, message: None
    hold: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.got]


@contextmanager
def bot_api() -> Iterator[BotApi]:
    """A server of its own on a free port, stopped at the end."""
    state = BotApi()
    state.hold.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = _form(self.headers["Content-Type"], body)
            assert self.path == f"/bot{TOKEN}/sendMessage"
            told = state.answer(len(state.got) + 1, message)
            state.got.append(message)
            state.reached.set()
            state.hold.wait(30)
            if told == SILENCE:
                self.close_connection = True
                return
            number = len(state.got)
            chat = {"id": 7, "type": "private"}
            good = {"ok": True, "result": {"message_id": number, "date": 0, "chat": chat, "text": "x"}}
            status, answer = told or (200, good)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.close_connection = True
            with suppress(ConnectionError):  # a drain that was killed does not listen
                self.send_response(200 if told == HALF else status)
                self.send_header("Content-Length", str(len(data) + (told == HALF)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        state.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            state.hold.set()
            listener.shutdown()
            thread.join()


def _form(kind: str, body: bytes) -> dict[str, Any]:
    if kind.startswith("application/json"):
        found = json.loads(body)
        assert isinstance(found, dict)
        return found
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


#: The sibling's own modules stay out of it: each copy of the sibling loads its own.
LIBRARY_SERVER = ForkServer(["telegram", "telegram.request", "argparse"])


@dataclass
class Sibling:
    """A copy of the sibling, and its inbox."""

    root: Path
    env: dict[str, str]

    @property
    def inbox(self) -> Path:
        return self.root / "inbox" / "cron-events.jsonl"

    def put(self, *events: dict[str, Any] | bytes) -> None:
        with self.inbox.open("ab") as file:
            for event in events:
                file.write(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [str(self.root / "inbox.py"), *words]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        if ALWAYS_FRESH:
            return subprocess.Popen([sys.executable, *command], cwd="/", env=self.env, **pipes)
        return Forked(LIBRARY_SERVER, command, self.env, **pipes)

    def drain(self, *words: str, code: int = 0) -> dict[str, Any]:
        with ended(self.start(*words)) as process:
            out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (code, b""), (process.returncode, out, err)
        assert TOKEN.encode() not in out
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.root / "db" / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self) -> list[str]:
        """What the journal says, in order."""
        return [line["state"] for line in self.lines("inbox_journal.jsonl")]

    def offset(self) -> Any:
        return json.loads((self.root / "db" / "inbox_offsets.json").read_text())["inbox/cron-events.jsonl"]


def copied_sibling(tmp_path: Path, api: BotApi) -> Sibling:
    """A fresh copy in `tmp_path`, whose bot and chat are at the server."""
    root = tmp_path / "puruto-telegram"
    shutil.copytree(SIBLING, root, ignore=shutil.ignore_patterns("__pycache__", "db"))
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONWARNINGS": "error",
        "PURUTO_TELEGRAM_API_URL": api.url,
        "PURUTO_TELEGRAM_BOT_TOKEN": TOKEN, "PURUTO_TELEGRAM_DEFAULT_CHAT_ID": "7",
    }  # fmt: skip
    return Sibling(root, env)


def event(number: int = 1, **more: Any) -> dict[str, Any]:
    result = {"status": "ok", "response": {"status": "ok", "result": {"summary": f"Trabajo {number} completado"}}}
    ts = "2026-02-25T20:00:00+00:00"
    return {"ts": ts, "job_id": f"job-{number}", "run_id": f"job-{number}-2026", "attempt": 1, "result": result, **more}


def refusal(status: int, text: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """An answer of the Bot API that is none of success."""
    return status, {"ok": False, "error_code": status, "description": text, **more}
