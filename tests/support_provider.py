"""A stand-in for the servers of Anthropic, OpenAI and Google, on loopback, for the real programs of their agents.

It keeps what it was asked, and answers as a test says. How each of them writes things is in `support_provider_forms`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, cast

from tests.support_provider_forms import FORMS, Form
from tests.workspace import PATIENCE


@dataclass(frozen=True)
class Say:
    """The model says this; the last words of the user if it is None."""

    text: str | None = None


@dataclass(frozen=True)
class Call:
    """The model calls a tool, by the name that the agent gave it, with these arguments."""

    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class Fail:
    """The server answers with this HTTP status and its own form of an error."""

    status: int
    message: str = "asked for by the test"


@dataclass(frozen=True)
class Garble:
    """The server answers 200 with what is no answer of this protocol."""

    body: bytes = b"<html>It works!</html>"


@dataclass(frozen=True)
class Hold:
    """The server does not answer before it is stopped."""


Answer = Say | Call | Fail | Garble | Hold


@dataclass(frozen=True)
class Asked:
    """One request of an agent to its model."""

    form: Form
    path: str
    headers: dict[str, str]
    """Names in small letters."""
    body: dict[str, Any]

    @property
    def said(self) -> list[str]:
        """All that the user and tools have said in this conversation, the last one at the end."""
        return self.form.said(self.body)

    @property
    def system(self) -> str:
        """The system prompt, as JSON."""
        return json.dumps(self.form.system(self.body), ensure_ascii=False)

    @property
    def model(self) -> str:
        return self.form.model(self.path, self.body)


class Provider:
    """The server. `answers` are given in turn, the last one again and again; an echo if there are none."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.asked: list[Asked] = []
        """The requests to a model, in their order; nothing else that the program looks for."""
        self.answers: list[Answer] = []
        self.stopped = threading.Event()
        self._lock = threading.Lock()

    def take(self, asked: Asked) -> Answer:
        """Keeps a request and says what is the answer to it."""
        with self._lock:
            self.asked.append(asked)
            if not self.answers:
                return Say()
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def provider() -> Iterator[Provider]:
    """A server of its own on a free port of loopback, stopped at the end."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.provider = Provider(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.provider
    finally:
        server.provider.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


class _Server(ThreadingHTTPServer):
    provider: Provider
    # A connection that its agent has left open would hold up the end of the test.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """An agent that was killed says no goodbye."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # What an agent never sends would keep a thread for ever.
    timeout: ClassVar[float] = 120

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass

    def do_GET(self) -> None:
        self._send(404, b"{}")

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        form = next((form for form in FORMS if form.is_question(self.path)), None)
        if form is None:
            counted = "count" in self.path.lower()
            self._send(200 if counted else 404, b'{"input_tokens": 10, "totalTokens": 10}' if counted else b"{}")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(form, self.path, headers, json.loads(data))
        self._answer(asked, cast(_Server, self.server).provider)

    def _answer(self, asked: Asked, provider: Provider) -> None:
        form, stream = asked.form, asked.form.wants_stream(asked.path, asked.body)
        match provider.take(asked):
            case Say(text):
                words = text if text is not None else asked.said[-1]
                self._send(200, *form.written(form.text(words, asked.model), stream=stream))
            case Call(tool, arguments):
                self._send(200, *form.written(form.call(tool, arguments, asked.model), stream=stream))
            case Fail(status, message):
                self._send(status, json.dumps(form.error(status, message)).encode())
            case Garble(body):
                self._send(200, body, "text/html")
            case Hold():
                provider.stopped.wait(timeout=PATIENCE)
                self.close_connection = True

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
