"""The dead-man's ping: asks an address after each tick, so that somebody notices when ticks stop coming."""

from __future__ import annotations

import binascii
import os
import socket
import ssl
import threading
import urllib.request
from email.message import Message
from http.client import HTTPException, InvalidURL
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from core.boundary import guarded

#: All of it, whatever the name's lookup, the connection, or a slow answer take.
DEADLINE_SEC = 5.0
TOO_SLOW = "no answer in time"
NO_ADDRESS = "the address, or the one that it redirects to, does not begin with http:// or https://"


def address(url: str, *, failed: bool) -> str:
    """The address to ask: `url`, with `/fail` after its path if a job failed."""
    if not failed:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def send(url: str, *, deadline_sec: float = DEADLINE_SEC) -> str:
    """Asks the address and waits for the head of its answer, at most `deadline_sec`; "" or why it did not work.

    Never raises, and what it says never holds the address, which may be a secret. A proxy is taken from the
    environment, by the rules of the standard library.
    """
    said: list[str] = []

    def ask() -> None:
        found = guarded(lambda: _ask(url, deadline_sec))
        # A fault that nobody foresaw: its text may hold the address, its kind does not.
        said.append(found if isinstance(found, str) else f"it could not be asked: {found.details.get('type')}")

    # A lookup of a name can't be given a time: the thread is left behind, and ends with the process.
    thread = threading.Thread(target=ask, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return "the machine has no thread left"
    thread.join(deadline_sec)
    return said[0] if said else TOO_SLOW


class _Redirects(urllib.request.HTTPRedirectHandler):
    """The standard library would also follow to ftp."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise URLError(NO_ADDRESS)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _ask(url: str, seconds: float) -> str:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        _Redirects,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(_request(url), timeout=seconds):
            # The head is the answer. What follows it may never end.
            return ""
    except HTTPError as error:
        error.close()
        return f"the answer was {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        return _reason(error)


def _request(url: str) -> urllib.request.Request:
    """A name and password in the address go where they belong, and to nobody that it is redirected to."""
    parts = urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(  # noqa: S310 - the settings let only http and https pass
        urlunsplit(parts._replace(netloc=host, fragment="")), headers={"User-Agent": "puruto-cron"}
    )
    if at:
        name, _, password = account.partition(":")
        login = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
        encoded = binascii.b2a_base64(login, newline=False).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    return request


def _reason(error: BaseException) -> str:
    """Why, in words of ours or of the system: those of an exception may hold the address."""
    if isinstance(error, URLError):
        return _reason(error.reason) if isinstance(error.reason, BaseException) else NO_ADDRESS
    if isinstance(error, TimeoutError):
        return TOO_SLOW
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not accepted"
    if isinstance(error, ssl.SSLError):
        return "no secure connection could be made"
    if isinstance(error, socket.gaierror):
        return "its name can't be looked up"
    if isinstance(error, InvalidURL):
        return NO_ADDRESS
    if isinstance(error, HTTPException):
        return "what answered does not speak HTTP"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return f"it could not be asked: {type(error).__name__}"
