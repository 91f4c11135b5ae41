"""Where events go: a file for each kind of channel. They are found by listing this folder, and imported on first use.

It may import `core`; it is handed the settings. A new channel is one new file here, on the base of `base.py`, or of
`jsonl.py` if it is a file. The dead-man's ping (`ping.py`) is not a channel.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from core.kinds import CHANNELS

if TYPE_CHECKING:
    from channels.base import Channel


@functools.cache
def kinds() -> tuple[type[Channel], ...]:
    """All of them, in the order in which they are served."""
    found: list[type[Channel]] = [CHANNELS[name] for name in CHANNELS]
    return tuple(sorted(found, key=lambda kind: (kind.order, kind.name)))


@functools.cache
def channels_of(notify_channel: str) -> tuple[str, ...]:
    """The names of the channels that the events of a job with this `notify_channel` go to."""
    return tuple(kind.name for kind in kinds() if kind.takes(notify_channel))
