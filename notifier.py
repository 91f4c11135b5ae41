"""A stored event → all channels that are to have it. Each is served by itself, whatever breaks at another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import channels
from channels.base import Channel, Surroundings
from core import log
from core.boundary import failure_of, outcome_of
from core.clock import utc_text
from core.errors import CronError

#: Events that are sent together and marked in one transaction.
BATCH = 200


class Outbox(Protocol):
    """What the notifier asks of the store: the oldest waiting events of a channel, and what became of them."""

    def waiting(self, channel: str, limit: int) -> Sequence[Any]: ...

    def settle(self, channel: str, events: Sequence[Any], state: str, now: str) -> None: ...

    def failed(self, channel: str, event: Any, error: str) -> None: ...


@dataclass(frozen=True)
class Delivery:
    """What one round brought to a channel; `error` is "" when all that waited has arrived, else why some may not."""

    channel: str
    delivered: int
    error: str


class Notifier:
    """Delivers what waits, to one channel after the other."""

    def __init__(self, channels: Sequence[Channel], now: Callable[[], datetime]) -> None:
        self._channels = channels
        self._now = now

    @classmethod
    def of(cls, around: Surroundings) -> Notifier:
        """The notifier of all channels that there are."""
        return cls([kind.make(around) for kind in channels.kinds()], around.now)

    def paths_of(self, notify_channel: str) -> dict[str, str]:
        """The contract's `notification_paths` of a job: a path is empty where its events do not go."""
        return {
            channel.path_key: channel.shown_path() if channel.takes(notify_channel) and channel.is_there() else ""
            for channel in self._channels
            if channel.path_key
        }

    def targets(self) -> dict[str, object]:
        """Where all channels lead, for `status`."""
        found: dict[str, object] = {}
        for channel in self._channels:
            found |= channel.target()
        return found

    def deliver(self, outbox: Outbox) -> list[Delivery]:
        """Brings every waiting event to its channels. A channel that fails keeps its events and hurts no other."""
        return [self._guarded(channel, outbox) for channel in self._channels]

    def _guarded(self, channel: Channel, outbox: Outbox) -> Delivery:
        done = outcome_of(lambda: self._bring(channel, outbox) if channel.is_there() else self._drop(channel, outbox))
        if done.error is None:
            return Delivery(channel.name, done.value, "")
        if isinstance(done.error, CronError):
            log.warning(f"Events for {channel.name} wait: {done.error.message}", code=done.error.code)
            return Delivery(channel.name, 0, done.error.message)
        reason = channel.explain(done.error) if isinstance(done.error, OSError) else failure_of(done.error).message
        log.warning(f"Events for {channel.name} wait: {reason}", code="EVENTS_WAITING")
        self._note_failure(channel, outbox, reason)
        return Delivery(channel.name, 0, reason)

    def _bring(self, channel: Channel, outbox: Outbox) -> int:
        delivered = 0
        if not outbox.waiting(channel.name, 1):
            return delivered
        with channel.open() as send:
            # Only now, when no other process can send, is it certain what waits.
            while events := outbox.waiting(channel.name, BATCH):
                send(events)
                outbox.settle(channel.name, events, "delivered", utc_text(self._now()))
                delivered += len(events)
        return delivered

    def _drop(self, channel: Channel, outbox: Outbox) -> int:
        while events := outbox.waiting(channel.name, BATCH):
            outbox.settle(channel.name, events, "not_applicable", utc_text(self._now()))
        return 0

    def _note_failure(self, channel: Channel, outbox: Outbox, reason: str) -> None:
        # The same full disk may refuse the note; the event itself is stored and stays first in line.
        with log.tolerated(CronError, f"Why events for {channel.name} wait was not recorded"):
            for event in outbox.waiting(channel.name, 1):
                outbox.failed(channel.name, event, reason)
