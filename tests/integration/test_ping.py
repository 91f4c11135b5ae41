"""The dead-man's ping, against a real server on loopback."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from channels import ping
from tests.support_machine import COUNT, prepare, shell
from tests.workspace import PATIENCE, Workspace


@dataclass
class Server:
    """Keeps which paths were asked; answers as `answer` says."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    answer: str = "ok"
    done: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            state.logins.append(self.headers["Authorization"])
            if state.answer == "hang":
                state.done.wait(PATIENCE)
                return
            if state.answer == "trickle":
                self.send_response(200)
                self.end_headers()
                while not state.done.wait(0.2):
                    try:
                        self.wfile.write(b".")
                    except OSError:
                        return
                return
            if state.answer.startswith("to "):
                self.send_response(302)
                self.send_header("Location", state.answer[3:])
                self.end_headers()
                return
            self.send_response(500 if state.answer == "500" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        state.url = f"http://127.0.0.1:{listener.server_port}/s3cret-uuid"
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            state.done.set()
            listener.shutdown()
            thread.join()


def ready(workspace: Workspace, server: Server, script: str = COUNT) -> None:
    prepare(workspace, shell(script))
    workspace.environ["PURUTO_CRON_PING_URL"] = server.url


@pytest.mark.process
def test_every_tick_pings_also_an_idle_and_a_quiet_one(workspace: Workspace, server: Server) -> None:
    ready(workspace, server)
    workspace.json("tick")
    workspace.json("tick")
    assert workspace.run("tick", "--quiet").stdout == b""
    assert server.asked == ["/s3cret-uuid"] * 3
    fact = workspace.json("status")["ping"]
    assert (fact["ok"], fact["failed"], fact["error"]) == (True, False, None)


@pytest.mark.process
def test_a_ping_that_is_set_in_the_env_file_is_sent_too(workspace: Workspace, server: Server) -> None:
    prepare(workspace, shell(COUNT))
    workspace.json("tick")
    (workspace.root / ".env").write_text(f"export PURUTO_CRON_PING_URL='{server.url}'\n")
    workspace.json("tick")
    workspace.json("tick")
    assert len(server.asked) == 2


@pytest.mark.process
def test_without_an_address_nothing_is_asked(workspace: Workspace, server: Server) -> None:
    prepare(workspace, shell(COUNT))
    (workspace.root / ".env").write_text(f"#PURUTO_CRON_PING_URL={server.url}\n")
    workspace.json("tick")
    assert server.asked == []
    assert workspace.json("status")["ping"] is None


@pytest.mark.process
def test_a_tick_in_which_a_job_failed_says_so(workspace: Workspace, server: Server) -> None:
    ready(workspace, server, "exit 3")
    server.url += "?rid=1"
    workspace.environ["PURUTO_CRON_PING_URL"] = server.url
    workspace.make_due()
    assert workspace.json("tick")["results"][0]["status"] == "error"
    workspace.json("tick")
    assert server.asked == ["/s3cret-uuid/fail?rid=1", "/s3cret-uuid?rid=1"]


@pytest.mark.process
@pytest.mark.parametrize("answer", ["500", "to http://127.0.0.1:1/", "to file:///etc/passwd", "to ftp://127.0.0.1/x"])
def test_a_ping_that_fails_fails_no_tick_and_is_shown(workspace: Workspace, server: Server, answer: str) -> None:
    ready(workspace, server)
    server.answer = answer
    workspace.make_due()
    assert workspace.json("tick")["results"][0]["status"] == "ok"
    fact = workspace.json("status")["ping"]
    assert fact["ok"] is False
    assert fact["error"]
    everything = json.dumps(workspace.json("status")) + json.dumps(workspace.json("tick"))
    assert "s3cret-uuid" not in everything
    assert all("s3cret-uuid" not in str(row) for row in workspace.sql("SELECT * FROM state"))


@pytest.mark.process
def test_a_refused_connection_is_shown(workspace: Workspace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    prepare(workspace, shell(COUNT))
    workspace.environ["PURUTO_CRON_PING_URL"] = f"http://127.0.0.1:{port}/s3cret-uuid"
    workspace.json("tick")
    assert "refused" in workspace.json("status")["ping"]["error"]


def test_a_server_that_does_not_answer_is_left(server: Server) -> None:
    """The deadline is the whole of it: this returns at all."""
    server.answer = "hang"
    assert ping.send(server.url, deadline_sec=0.3) == ping.TOO_SLOW


def test_the_head_of_an_answer_is_enough(server: Server) -> None:
    server.answer = "trickle"
    assert ping.send(server.url) == ""


def test_a_name_and_password_in_the_address_are_a_login(server: Server) -> None:
    url = server.url.replace("http://", "http://ana:p%40ss@")
    assert ping.send(url) == ""
    server.answer = f"to {server.url}/elsewhere"
    ping.send(url)
    assert server.logins[:3] == ["Basic YW5hOnBAc3M=", "Basic YW5hOnBAc3M=", None]


def test_what_answers_without_speaking_http_is_told(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-s3cret-uuid\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert ping.send(f"http://127.0.0.1:{port}/s3cret-uuid") == "what answered does not speak HTTP"
        thread.join()
    assert ping.send(server.url.replace("http:", "https:")) == "no secure connection could be made"
    assert ping.send("http://nowhere.invalid/s3cret-uuid") == "its name can't be looked up"


def test_a_redirection_loop_ends(server: Server) -> None:
    server.answer = f"to {server.url}"
    assert ping.send(server.url) == "the answer was 302"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hc.example/uuid", "https://hc.example/uuid/fail"),
        ("https://hc.example/uuid/", "https://hc.example/uuid/fail"),
        ("https://hc.example/uuid?a=b#c", "https://hc.example/uuid/fail?a=b#c"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/fail"),
    ],
)
def test_where_a_failure_is_told(url: str, expected: str) -> None:
    assert ping.address(url, failed=True) == expected
    assert ping.address(url, failed=False) == url


@pytest.mark.process
@pytest.mark.parametrize("url", ["ftp://x/y", "file:///etc/passwd", "no address", "http:///s3cret", "https://a b/"])
def test_what_is_no_address_is_refused_without_being_shown(workspace: Workspace, url: str) -> None:
    workspace.environ["PURUTO_CRON_PING_URL"] = url
    refused = workspace.json("status", code=2)["error"]
    assert refused["code"] == "SETTINGS_INVALID"
    assert [problem["code"] for problem in refused["details"]["problems"]] == ["BAD_URL"]
    assert url not in json.dumps(refused)
