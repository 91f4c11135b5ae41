"""What the checks look at. Everything from outside comes in here, so that a test can set the scene."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.errors import InternalError
from doctor.programs import Answer, ask

if TYPE_CHECKING:
    from config.settings import Settings
    from core.clock import Clock
    from schedules.calendar import Schedules
    from store.bundle import Store

#: `(argv, environment, folder, timeout in seconds)` → what the program answered.
Ask = Callable[[Sequence[str], Mapping[str, str], str, float], Answer]


class Program(Protocol):
    """What is asked of the whole program (`wiring.App`)."""

    @property
    def clock(self) -> Clock: ...
    @property
    def environ(self) -> Mapping[str, str]: ...
    @property
    def root(self) -> str: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def default_zone(self) -> str: ...
    @property
    def machine_zone(self) -> str: ...
    @property
    def calendar(self) -> Schedules: ...
    def open_store(self, *, read_only: bool = False) -> Store: ...
    def paths(self) -> dict[str, str]: ...
    def tick_state(self, now: datetime) -> dict[str, object]: ...
    def daemon_state(self) -> dict[str, object]: ...

    def last_look(self) -> datetime | None: ...
    def scheduler_health(self, store: Store, now: datetime) -> dict[str, object]: ...
    def sync_state(self, store: Store) -> dict[str, object]: ...
    def sync_jobs(self, store: Store, now: datetime, *, allow_removals: bool = False) -> object: ...


@dataclass
class Scene:
    """One examination. `store` is None until the database was found sound; `settings` None if they are wrong."""

    app: Program
    settings: Settings | None
    store: Store | None = None
    ask: Ask = ask
    etc: str = "/etc"
    mountinfo: str = "/proc/self/mountinfo"
    told_of_file: set[str] = field(default_factory=set)
    """Codes of what is wrong with .jobs.json itself, so that it is not told twice."""

    @cached_property
    def now(self) -> datetime:
        """The one instant of the examination."""
        return self.app.clock.now()

    @property
    def root(self) -> Path:
        """The folder that holds main.py."""
        return Path(self.app.root)

    @property
    def need_settings(self) -> Settings:
        """The settings, for checks that are made only when there are some."""
        if self.settings is None:
            raise InternalError("A check was made without the settings that it needs")
        return self.settings

    @property
    def need_store(self) -> Store:
        """The store, for checks that are made only when there is one."""
        if self.store is None:
            raise InternalError("A check was made without the store that it needs")
        return self.store

    @cached_property
    def ticks_lately(self) -> bool:
        """Whether something has started ticks until now, whatever it is."""
        return self.settings is not None and not self.app.tick_state(self.now)["stale"]

    @cached_property
    def daemon(self) -> Mapping[str, object]:
        """Which daemon serves the database: `running`, `pid`, `host`, `since`."""
        return self.app.daemon_state() if self.settings is not None else {"running": False}

    @property
    def daemon_name(self) -> str:
        """Of one that runs, for people."""
        known = self.daemon.get("pid") is not None
        return f"process {self.daemon['pid']} on {self.daemon['host']}" if known else "a process that gave no name"


def account() -> tuple[str, str]:
    """Name and home folder of this user, as the system has them and not as a variable says."""
    try:
        found = pwd.getpwuid(os.geteuid())
    except KeyError:
        return str(os.geteuid()), "/"
    return found.pw_name, found.pw_dir or "/"
