"""Delivers an event to Telegram: message by message, each recorded in the journal before and after it is sent."""

from __future__ import annotations

from typing import Any, Protocol

from inbox_journal import Journal

_DIED = "a drain died while it sent this"
_NOT_AGAIN = "it may have arrived, so it is not sent again"


class Stopped(Exception):
    """The drain can't continue now; the remaining events stay for the next one.

    `code` is stable; `details` always holds `hint`.
    """

    def __init__(self, code: str, message: str, *, hint: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.details = {"hint": hint, **details}


class Sender(Protocol):
    """Sends an event's parts."""

    def parts(self, event: dict[str, Any]) -> list[str]:
        """The event as messages."""

    def send(self, part: str, event: str) -> dict[str, Any]:
        """Sends a part of the event with this digest: {"status": "delivered" | "refused" | "unknown", …}.

        The result has a `reason` unless it was delivered. Raises `Stopped` if it is certain that nothing arrived.
        """


class Delivery:
    """Delivers events in order. `stopped` is set if no other event should be tried after the last one."""

    def __init__(self, sender: Sender, journal: Journal) -> None:
        self._sender = sender
        self._journal = journal
        self.stopped: Stopped | None = None

    def deliver(self, event: dict[str, Any], name: str) -> dict[str, Any]:
        """Delivers the event and returns the outcome. Raises `Stopped` if the next drain must continue with it."""
        journal = self._journal
        if journal.is_done(name):
            return {"status": "already_done", "was": journal.outcome(name)}
        in_doubt = journal.in_doubt(name)
        if in_doubt:
            # Telegram has no key by which it could recognise a repeated message.
            journal.note(name, "unknown", in_doubt, f"{_DIED}: {_NOT_AGAIN}")
        parts = self._sender.parts(event)
        last: dict[str, Any] = {"status": "delivered"}
        for number in range(journal.finished(name) + 1, len(parts) + 1):
            outcome = self._send(parts[number - 1], name, number)
            last = {**last, **outcome} if outcome["status"] == "delivered" else last
            if outcome["status"] == "unknown":
                self.stopped = _no_answer(str(outcome["reason"]))
                if number < len(parts):
                    raise self.stopped
        return {**last, **self._losses(name, len(parts)), "parts": len(parts)}

    def _send(self, part: str, name: str, number: int) -> dict[str, Any]:
        self._journal.note(name, "sending", number)
        try:
            outcome = self._sender.send(part, name)
        except Stopped:
            self._journal.note(name, "unsent", number)
            raise
        status = str(outcome["status"])
        state = "sent" if status == "delivered" else status
        self._journal.note(name, state, number, str(outcome.get("reason", "")))
        return outcome

    def _losses(self, name: str, count: int) -> dict[str, Any]:
        """The status and reason of an event of which not every part has arrived; {} if all have."""
        losses: dict[str, Any] = {}
        for status in ("refused", "unknown"):
            parts = self._journal.parts_that_are(status, name)
            if parts:
                # An unknown outcome is reported before a refusal.
                losses = {**losses, "status": status, "reason": next(iter(parts.values()))}
                losses |= {f"parts_{status}": sorted(parts)} if count > 1 else {}
        return losses


def _no_answer(reason: str) -> Stopped:
    hint = "It is not sent again, because it may have arrived; the next drain continues after it. Check the network."
    return Stopped("TELEGRAM_NO_ANSWER", reason, hint=hint)
