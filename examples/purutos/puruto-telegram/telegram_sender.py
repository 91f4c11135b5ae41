"""Sends messages through python-telegram-bot, and tells what it means when that does not work."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import time
from collections.abc import Mapping
from typing import Any

import telegram_text
from inbox_reader import Sender, Stopped

TOKEN, CHAT, API = "PURUTO_TELEGRAM_BOT_TOKEN", "PURUTO_TELEGRAM_DEFAULT_CHAT_ID", "PURUTO_TELEGRAM_API_URL"
DEFAULT_API = "https://api.telegram.org"
#: All waiting for Telegram's limits in one drain.
PATIENCE_SEC = 60.0
_NETWORK_TRIES = 3


class Skipping:
    """Stands in when there is nobody to send to."""

    def __init__(self, why: str) -> None:
        self.why = why

    def parts(self, event: dict[str, Any]) -> list[str]:
        """One, that is not sent."""
        return telegram_text.messages(event)[:1]

    def send(self, part: str) -> dict[str, Any]:  # noqa: ARG002 - a sender's form
        """Says why it was not sent."""
        return {"status": "skipped", "reason": self.why}


def sender_of(variables: Mapping[str, str]) -> Sender:
    """What sends, by what is configured. Raises `Stopped` when the library is not installed."""
    missing = [name for name in (TOKEN, CHAT) if not variables.get(name, "").strip()]
    if missing:
        return Skipping(f"{' and '.join(missing)} not set")
    if importlib.util.find_spec("telegram") is None:
        hint = "In puruto-cron: .venv/bin/pip install -e '.[telegram]', and run this with .venv/bin/python."
        raise Stopped("LIBRARY_MISSING", "python-telegram-bot is not installed", hint=hint)
    return Telegram(variables[TOKEN].strip(), variables[CHAT].strip(), variables.get(API, "").strip() or DEFAULT_API)


class Telegram:
    """One bot and one chat."""

    def __init__(self, token: str, chat: str, api: str) -> None:
        self._token, self._chat, self._api = token, chat, api.rstrip("/")
        self._patience = PATIENCE_SEC

    def parts(self, event: dict[str, Any]) -> list[str]:
        """The event as messages."""
        return telegram_text.messages(event)

    def send(self, part: str) -> dict[str, Any]:
        """Sends one, patiently. Raises `Stopped`."""
        # From version 22.2 on it wants to be told that a timedelta is understood, and warns otherwise.
        os.environ.setdefault("PTB_TIMEDELTA", "true")
        from telegram import error

        tries = 0
        while True:
            try:
                return {"status": "delivered", "message_id": self._send(part, markdown=True)}
            except error.RetryAfter as wait:
                self._wait(_seconds(wait.retry_after))
            except error.BadRequest as refused:
                if "parse entities" in str(refused).lower():
                    return {"status": "delivered", "message_id": self._send(part, markdown=False), "plain": True}
                return {"status": "refused", "reason": f"Telegram refused it: {self._clean(str(refused))}"}
            except (error.InvalidToken, error.Forbidden) as wrong:
                message = f"Telegram does not let this bot write to this chat: {self._clean(str(wrong))}"
                raise Stopped("TELEGRAM_REFUSES", message, hint=f"See to {TOKEN} and {CHAT}.") from None
            except error.NetworkError as lost:
                if _may_have_arrived(lost):
                    reason = f"no answer came ({self._clean(str(lost))}): it may have arrived, and is not sent again"
                    return {"status": "unknown", "reason": reason}
                tries += 1
                if tries >= _NETWORK_TRIES:
                    message = f"Telegram can't be reached: {self._clean(str(lost))}"
                    raise Stopped("TELEGRAM_UNREACHABLE", message, hint="The next drain tries again.") from None
                self._wait(float(tries))

    def _send(self, part: str, *, markdown: bool) -> int:
        from telegram import Bot
        from telegram.request import HTTPXRequest

        async def send() -> int:
            request = HTTPXRequest(connect_timeout=10, read_timeout=30, write_timeout=30)
            bot = Bot(self._token, base_url=f"{self._api}/bot", request=request)
            try:
                await request.initialize()
                text = part if markdown else telegram_text.plain(part)
                sent = await bot.send_message(self._chat, text, parse_mode="MarkdownV2" if markdown else None)
                return sent.message_id
            finally:
                await request.shutdown()

        return asyncio.run(send())

    def _wait(self, seconds: float) -> None:
        if seconds > self._patience:
            message = f"Telegram asks for a wait of {seconds:.0f} s, longer than this drain is to last"
            raise Stopped("TELEGRAM_BUSY", message, retry_after=seconds)
        self._patience -= seconds
        time.sleep(seconds)

    def _clean(self, text: str) -> str:
        return text.replace(self._token, "***")[:300]


def _may_have_arrived(lost: Exception) -> bool:
    """Whether the request had left when the connection was lost; with no connection there was no request."""
    import httpx

    cause = lost.__cause__
    unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
    return isinstance(cause, httpx.TransportError) and not isinstance(cause, unsent)


def _seconds(wait: Any) -> float:
    """A number of seconds, or a timedelta: python-telegram-bot's versions differ."""
    return float(wait.total_seconds()) if hasattr(wait, "total_seconds") else float(wait)
