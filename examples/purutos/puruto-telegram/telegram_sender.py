"""Sends messages with retries, and separates errors of one message from errors that would affect all messages."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import telegram_text
from inbox_delivery import Stopped
from inbox_files import well_formed
from telegram_memory import Memory

if TYPE_CHECKING:
    from telegram_client import Answer

TOKEN, CHAT, API = "PURUTO_TELEGRAM_BOT_TOKEN", "PURUTO_TELEGRAM_DEFAULT_CHAT_ID", "PURUTO_TELEGRAM_API_URL"
DEFAULT_API = "https://api.telegram.org"
#: The longest total wait in one drain, in seconds.
LONGEST_WAIT_SEC = 60.0
_NETWORK_TRIES = 3
#: Words in a 400 that is about the message, in lower case. Source: the descriptions of tdlib/telegram-bot-api.
_MESSAGES_FAULT = (
    "parse entities", "message is too long", "message_too_long", "text is too long", "message text is empty",
    "message_empty", "text must be non-empty", "must be encoded in utf-8", "entities_too_long", "entity_bounds_invalid",
)  # fmt: skip
#: Words in a 400 that is about the chat, or the bot's rights in it: the next message would fail too.
_CHATS_FAULT = (
    "chat not found", "chat_id", "peer_id_invalid", "user not found", "user_id", "user is deactivated",
    "user is blocked", "user_is_blocked", "input_user_deactivated", "bot was", "bot is not", "bot can't", "bots can't",
    "not a member", "not enough rights", "no rights", "need administrator", "chat_write_forbidden", "chat_restricted",
    "chat_admin_required", "chat_forbidden", "chat_send_plain_forbidden", "send_plain_forbidden", "group chat was",
    "group is deactivated", "supergroup", "channel_private", "channel_invalid", "have no access", "topic_closed",
    "topic_deleted", "thread not found", "token",
)  # fmt: skip


def what_is_missing(variables: Mapping[str, str]) -> str:
    """Why nothing can be sent: no bot or no chat is configured; "" if both are."""
    missing = [name for name in (TOKEN, CHAT) if not variables.get(name, "").strip()]
    return f"{' and '.join(missing)} not set" if missing else ""


def sender_of(variables: Mapping[str, str], folder: Path) -> Telegram:
    """The sender for a bot and a chat; `folder` keeps its state. Raises `Stopped` if the configuration can't work."""
    if importlib.util.find_spec("telegram") is None:
        hint = "Run `make telegram` in puruto-cron's folder, and start this with .venv/bin/python of that folder."
        raise Stopped("LIBRARY_MISSING", "python-telegram-bot is not installed", hint=hint)
    from telegram_client import url_fault

    api = variables.get(API, "").strip() or DEFAULT_API
    fault = url_fault(api)
    if fault:
        hint = f"Write {API} as {DEFAULT_API}, without /bot and the token; or leave it out."
        raise Stopped("TELEGRAM_URL_INVALID", f"{API} {fault}", hint=hint)
    token, chat = variables[TOKEN].strip(), variables[CHAT].strip()
    return Telegram(token, chat, api.rstrip("/"), Memory(folder, f"{token}\n{chat}\n{api}", time.time))


class Telegram:
    """One bot and one chat."""

    def __init__(self, token: str, chat: str, api: str, memory: Memory) -> None:
        self._token, self._chat, self._api, self._memory = token, chat, api, memory
        self._wait_left = LONGEST_WAIT_SEC

    def parts(self, event: dict[str, Any]) -> list[str]:
        """The event as messages."""
        return telegram_text.messages(event)

    def send(self, part: str, event: str) -> dict[str, Any]:
        """Sends a part with its formatting, or as plain text if Telegram rejects that. Raises `Stopped`."""
        self._wait(self._memory.wait_left())
        answer = self._ask(part, markdown=True)
        plain = answer.kind == "bad_request" and _is_the_marks_fault(answer.text)
        if plain:
            answer = self._ask(telegram_text.plain(part), markdown=False)
        if answer.kind == "bad_request":
            return self._refused(answer.text, event)
        if answer.kind == "unknown":
            reason = f"Telegram did not confirm it ({self._clean(answer.text)})"
            return {"status": "unknown", "reason": f"{reason}: it may have arrived, so it is not sent again"}
        self._memory.taken()
        return {"status": "delivered", "message_id": answer.message_id, **({"plain": True} if plain else {})}

    def _ask(self, text: str, *, markdown: bool) -> Answer:
        """The answer about this message: delivered, bad_request or unknown. Raises `Stopped` for any other answer."""
        from telegram_client import ask

        tries = 0
        while True:
            answer = ask(self._token, self._chat, self._api, text, markdown=markdown)
            if answer.kind == "wait":
                self._memory.keep_wait(answer.wait_sec)
                self._wait(answer.wait_sec)
                continue
            if answer.kind == "no_library":
                hint = "In puruto-cron: .venv/bin/pip install 'httpx[socks]'; or unset ALL_PROXY and HTTPS_PROXY."
                raise Stopped("LIBRARY_MISSING", answer.text, hint=hint)
            if answer.kind == "refuses" or (answer.kind == "bad_request" and _is_the_chats_fault(answer.text)):
                raise self._refuses(answer.text)
            if answer.kind != "unreachable":
                return answer
            tries += 1
            if tries >= _NETWORK_TRIES or self._wait_left < tries:
                hint = "The next drain tries again. Check the network, the proxy variables and the server's address."
                raise Stopped(
                    "TELEGRAM_UNREACHABLE", f"Telegram can't be reached: {self._clean(answer.text)}", hint=hint
                )
            self._wait(tries / 4)

    def _refused(self, words: str, event: str) -> dict[str, Any]:
        """Telegram rejects this message. Unknown words count as that too, but not for two events in a row.

        Raises `Stopped`.
        """
        clean = self._clean(words)
        if any(known in words.lower() for known in _MESSAGES_FAULT) or self._memory.may_refuse(clean, event):
            return {"status": "refused", "reason": f"Telegram refused it: {clean}"}
        raise self._refuses(f"{words} (the previous event was rejected with the same words, so it is not this event)")

    def _refuses(self, words: str) -> Stopped:
        message = f"Telegram does not let this bot write to this chat: {self._clean(words)}"
        return Stopped(
            "TELEGRAM_REFUSES", message, hint=f"Check {TOKEN} and {CHAT}; the event stays for the next drain."
        )

    def _wait(self, seconds: float) -> None:
        if seconds > self._wait_left:
            message = f"Telegram asks to wait {seconds:.0f} s, longer than this drain may take"
            hint = "Nothing to do: the first drain after that time continues."
            raise Stopped("TELEGRAM_BUSY", message, hint=hint, retry_after=seconds)
        self._wait_left -= seconds
        time.sleep(seconds)

    def _clean(self, text: str) -> str:
        for secret in {self._token, quote(self._token), quote(self._token, safe="")}:
            text = text.replace(secret, "***")
        return well_formed(text)[:300]


def _is_the_chats_fault(words: str) -> bool:
    return not any(known in words.lower() for known in _MESSAGES_FAULT) and any(
        known in words.lower() for known in _CHATS_FAULT
    )


def _is_the_marks_fault(words: str) -> bool:
    """Whether plain text may be accepted: the formatting is the error, or the words are unknown."""
    return "parse entities" in words.lower() or not any(known in words.lower() for known in _MESSAGES_FAULT)
