"""What a channel is. Each kind is a file beside this one, which declares its name and whose events it gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from config.settings import Settings


class Event(Protocol):
    """A stored event: `payload` is what the scheduler said, `ts` when it became true (UTC text)."""

    @property
    def ts(self) -> str: ...

    @property
    def payload(self) -> Mapping[str, object]: ...


#: Brings a batch of events, oldest first, to where the channel leads. Raises OSError or CronError if that failed.
Send = Callable[[Sequence[Event]], None]


@dataclass(frozen=True)
class Surroundings:
    """What channels are made from. `pause` waits for some seconds, between two attempts to lock a file."""

    settings: Settings
    now: Callable[[], datetime]
    pause: Callable[[float], object]


class Channel(ABC):
    """Somewhere that events go. A module declares the class as its `KIND`; the notifier makes one of it."""

    #: As a job's `notify_channel` and the table of deliveries name it; that of its file.
    name: ClassVar[str] = ""
    #: The channel with the lowest is served first.
    order: ClassVar[int] = 100
    #: Whether it gets the events of every job, so that none selects it.
    always: ClassVar[bool] = False
    #: Its key in `notification_paths`; "" for a channel that is not a file.
    path_key: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def make(cls, around: Surroundings) -> Channel:
        """The channel as the settings have it."""

    @classmethod
    def takes(cls, notify_channel: str) -> bool:
        """Whether it gets the events of a job with this `notify_channel`."""
        return cls.always or notify_channel == cls.name

    def is_there(self) -> bool:
        """Whether the receiver exists. If not, its events need no delivery, and nothing has failed."""
        return True

    @abstractmethod
    def open(self) -> AbstractContextManager[Send]:
        """The way for a round of batches, closed when nothing more waits. What waits is asked for only inside it, so a
        channel on which a doubled event would hurt takes a lock here.
        """

    def shown_path(self) -> str:
        """Its file as people configured it."""
        return ""

    def target(self) -> dict[str, object]:
        """What `status` says of where it leads, under `notification_targets`."""
        return {}

    def explain(self, error: OSError) -> str:
        """Why a delivery failed, in words that may be stored and shown."""
        return error.strerror or str(error)


class PlainChannel(Channel):
    """A base for a channel to which each batch is one call, without anything to open: a chat, a web hook.

    It takes no lock: where the same event must not be sent twice, `open` is to take one.
    """

    def open(self) -> AbstractContextManager[Send]:
        return nullcontext(self.send)

    @abstractmethod
    def send(self, events: Sequence[Event]) -> None:
        """Brings the events, oldest first. Raises OSError or CronError if they may not have arrived."""
