"""What the checks look at. Everything from outside comes in here, so that a test can set the scene."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InternalError
from doctor.programs import Answer, ask

if TYPE_CHECKING:
    from app.app import App
    from app.session import Session
    from config.settings import Settings
    from store.bundle import Store

#: `(argv, environment, folder, timeout in seconds)` → what the program answered.
Ask = Callable[[Sequence[str], Mapping[str, str], str, float], Answer]


@dataclass
class Scene:
    """One examination. `session` is None until the database was found sound; `settings` None if they are wrong."""

    app: App
    settings: Settings | None
    session: Session | None = None
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
    def need_session(self) -> Session:
        """The session, for checks that are made only when there is one."""
        if self.session is None:
            raise InternalError("A check was made without the store that it needs")
        return self.session

    @property
    def need_store(self) -> Store:
        """The store of the session."""
        return self.need_session.store

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
