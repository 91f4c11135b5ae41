"""One request of sendMessage with python-telegram-bot, and the meaning of its answer.

Imported only when something is to be sent: it needs the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from dataclasses import dataclass
from typing import Any, Literal

# Since version 22.2 the library warns unless this variable says that a timedelta is understood.
os.environ.setdefault("PTB_TIMEDELTA", "true")

import httpx
from telegram import Bot, error
from telegram.request import HTTPXRequest

for _name in ("telegram", "httpx", "httpcore", "asyncio"):
    # A logger without a handler prints to stderr, but errors belong in the one JSON object.
    logging.getLogger(_name).addHandler(logging.NullHandler())

#: `delivered`; `wait` as long as wait_sec; `bad_request`: it does not take this; `refuses`: it takes nothing from this
#: bot for this chat; `unreachable`: nothing arrived; `no_library` for the proxy; `unknown`: it may have arrived.
Kind = Literal["delivered", "wait", "bad_request", "refuses", "unreachable", "no_library", "unknown"]
#: Errors after the connection was made: the request may have arrived. Source: python-httpx.org/exceptions.
_LOST_LATER = (
    httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.ReadTimeout, httpx.WriteTimeout,
    httpx.RemoteProtocolError, httpx.DecodingError, httpx.TooManyRedirects,
)  # fmt: skip
_GATEWAY_TIMEOUT = 504


@dataclass(frozen=True)
class Answer:
    """The outcome of one request; `text` is for people, and may contain the token."""

    kind: Kind
    text: str = ""
    message_id: int | None = None
    wait_sec: float = 0.0


class _Request(HTTPXRequest):
    """Records whether the request was sent, and the answer."""

    left = False
    status = 0
    #: The field `ok` of the answer, if it comes from the Bot API. Source: core.telegram.org/bots/api#making-requests.
    said_ok: bool | None = None

    async def do_request(self, *words: Any, **named: Any) -> tuple[int, bytes]:
        self.left = True
        self.status, payload = await super().do_request(*words, **named)
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(payload)
            said = found.get("ok") if isinstance(found, dict) else None
            self.said_ok = said if isinstance(said, bool) else None
        return self.status, payload


def ask(token: str, chat: str, api: str, text: str, *, markdown: bool) -> Answer:
    """Sends one message. It raises nothing: every error is an answer."""
    return asyncio.run(_ask(token, chat, api, text, "MarkdownV2" if markdown else None))


def url_fault(api: str) -> str:
    """What is wrong with the address of a Bot API; "" if nothing. It is never quoted, as it may contain a password."""
    try:
        url = httpx.URL(api)
        port_fits = url.port is None or 0 < url.port < 65536
    except (httpx.InvalidURL, ValueError) as wrong:
        return f"is no URL ({type(wrong).__name__})"
    if url.scheme not in ("http", "https"):
        return "does not begin with https:// or http://"
    if not url.host or not port_fits:
        return "names no host, or a port that can't be"
    return "has a query, a fragment, braces or spaces" if any(char in "?#{}" or char.isspace() for char in api) else ""


async def _ask(token: str, chat: str, api: str, text: str, parse_mode: str | None) -> Answer:
    try:
        request = _Request(connect_timeout=10, read_timeout=30, write_timeout=30)
        bot = Bot(token, base_url=f"{api}/bot", request=request)
    except Exception as wrong:  # noqa: BLE001 - by proxy variables or certificates, and each wants its own type
        if "socks" in str(wrong).lower():
            return Answer("no_library", "a proxy variable names a SOCKS proxy, and the library for it is not installed")
        return Answer("unreachable", f"no connection can be set up: {type(wrong).__name__}: {wrong}")
    try:
        await request.initialize()
        sent = await bot.send_message(chat, text, parse_mode=parse_mode)
        return Answer("delivered", message_id=sent.message_id)
    except error.RetryAfter as wait:
        return Answer("wait", str(wait), wait_sec=_seconds(wait.retry_after))
    except Exception as wrong:  # noqa: BLE001 - whatever it is, the journal wants to know whether the message left
        return _meaning(wrong, request)
    finally:
        with contextlib.suppress(Exception):
            await request.shutdown()


def _meaning(wrong: Exception, request: _Request) -> Answer:
    text = str(wrong) or type(wrong).__name__
    if not request.status:
        return Answer("unknown" if request.left and _may_have_arrived(wrong) else "unreachable", text)
    if request.said_ok:
        # Telegram accepted the message, even if the library can't read the rest of the answer.
        return Answer("delivered")
    if request.said_ok is None and (request.status < 300 or request.status == _GATEWAY_TIMEOUT):
        return Answer("unknown", f"HTTP {request.status}, with an answer that is none of the Bot API")
    if isinstance(wrong, error.InvalidToken | error.Forbidden | error.Conflict | error.ChatMigrated):
        return Answer("refuses", text)
    if isinstance(wrong, error.BadRequest):
        return Answer("bad_request", text)
    return Answer("unreachable", f"HTTP {request.status}: {text}")


def _may_have_arrived(wrong: Exception) -> bool:
    """Whether the request may have been sent when the connection was lost. Without a connection it was not."""
    cause = wrong.__cause__
    if isinstance(cause, httpx.HTTPError):
        return isinstance(cause, _LOST_LATER)
    # An address or a header that can't be sent; no other cause is known.
    return not isinstance(cause, httpx.InvalidURL | ValueError | OverflowError | ImportError)


def _seconds(wait: Any) -> float:
    """A number of seconds, or a timedelta: the library's versions differ."""
    return float(wait.total_seconds()) if hasattr(wait, "total_seconds") else float(wait)
