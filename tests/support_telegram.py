"""A server that speaks the Bot API's sendMessage, on loopback. Source: core.telegram.org/bots/api#sendmessage."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

TOKEN = "4711:s3cr3t-bot-token"


@dataclass
class BotApi:
    """Keeps the messages; `answer` may be replaced by a test: number and message → (HTTP status, body) or None."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[int, dict[str, Any]], tuple[int, dict[str, Any]] | None] = lambda number, message: None
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
            if told == (0, {}):
                self.close_connection = True
                return
            number = len(state.got)
            chat = {"id": 7, "type": "private"}
            good = {"ok": True, "result": {"message_id": number, "date": 0, "chat": chat, "text": "x"}}
            status, answer = told or (200, good)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
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
