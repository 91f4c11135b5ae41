"""A stored event → its channels. If one channel fails, the others get their events all the same."""

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
    """What the notifier needs of the store: the undelivered events of a channel, and what became of them."""

    def waiting(self, channel: str, limit: int) -> Sequence[Any]: ...

    def settle(self, channel: str, events: Sequence[Any], state: str, now: str) -> None: ...

    def failed(self, channel: str, event: Any, error: str) -> None: ...


@dataclass(frozen=True)
class Delivery:
    """How many events were delivered to a channel. `error` is "" if all have arrived, else why some may not have."""

    channel: str
    delivered: int
    error: str


class Notifier:
    """Delivers the stored events, to one channel after the other."""

    def __init__(self, channels: Sequence[Channel], now: Callable[[], datetime]) -> None:
        self._channels = channels
        self._now = now

    @classmethod
    def of(cls, around: Surroundings) -> Notifier:
        """A notifier for all channels."""
        return cls([kind.make(around) for kind in channels.kinds()], around.now)

    def paths_of(self, notify_channel: str) -> dict[str, str]:
        """The contract's `notification_paths` of a job. The path of a channel that does not get its events is empty."""
        return {
            channel.path_key: channel.shown_path() if channel.takes(notify_channel) and channel.is_there() else ""
            for channel in self._channels
            if channel.path_key
        }

    def targets(self) -> dict[str, object]:
        """The targets of all channels, for `status`."""
        targets: dict[str, object] = {}
        for channel in self._channels:
            targets |= channel.target()
        return targets

    def deliver(self, outbox: Outbox) -> list[Delivery]:
        """Delivers every waiting event. If a channel fails, its events wait, and the others go on. Never raises."""
        return [self._guarded(channel, outbox) for channel in self._channels]

    def _guarded(self, channel: Channel, outbox: Outbox) -> Delivery:
        outcome = outcome_of(
            lambda: self._send_all(channel, outbox) if channel.is_there() else self._drop(channel, outbox)
        )
        if outcome.error is None:
            return Delivery(channel.name, outcome.value, "")
        if isinstance(outcome.error, CronError):
            log.warning(f"Events for {channel.name} wait: {outcome.error.message}", code=outcome.error.code)
            return Delivery(channel.name, 0, outcome.error.message)
        reason = (
            channel.explain(outcome.error) if isinstance(outcome.error, OSError) else failure_of(outcome.error).message
        )
        log.warning(f"Events for {channel.name} wait: {reason}", code="EVENTS_WAITING")
        self._record_failure(channel, outbox, reason)
        return Delivery(channel.name, 0, reason)

    def _send_all(self, channel: Channel, outbox: Outbox) -> int:
        delivered = 0
        if not outbox.waiting(channel.name, 1):
            return delivered
        with channel.open() as send:
            # Read again: only now, with the channel open, can no other process send the same events.
            while events := outbox.waiting(channel.name, BATCH):
                send(events)
                outbox.settle(channel.name, events, "delivered", utc_text(self._now()))
                delivered += len(events)
        return delivered

    def _drop(self, channel: Channel, outbox: Outbox) -> int:
        while events := outbox.waiting(channel.name, BATCH):
            outbox.settle(channel.name, events, "not_applicable", utc_text(self._now()))
        return 0

    def _record_failure(self, channel: Channel, outbox: Outbox, reason: str) -> None:
        # The database may be on the same full disk. The event is stored already, and stays the first to be sent.
        with log.tolerated(CronError, f"It was not stored why events for {channel.name} wait"):
            for event in outbox.waiting(channel.name, 1):
                outbox.failed(channel.name, event, reason)
