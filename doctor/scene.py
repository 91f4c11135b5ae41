"""What the checks examine. All access to the outside goes through `Scene`, so that a test can replace it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.errors import InternalError
from doctor.programs import Answer, ask
from install.crontab_program import NO_PROGRAM, fix_for, in_english, says_none

if TYPE_CHECKING:
    from app.app import App
    from app.session import Session
    from config.settings import Settings
    from store.bundle import Store

#: `(argv, environment, folder, timeout in seconds)` → exit code and output of the program.
Ask = Callable[[Sequence[str], Mapping[str, str], str, float], Answer]


_SECONDS = 10.0


class UserCrontab(NamedTuple):
    """The crontab of this user, "" if there is none; why it could not be read, or ""; and what to do about that."""

    text: str
    trouble: str = ""
    fix: str = ""


@dataclass
class Scene:
    """One run of the checks. `session` is None until the database passed its check; `settings` if they are wrong."""

    app: App
    settings: Settings | None
    session: Session | None = None
    ask: Ask = ask
    etc: str = "/etc"
    mountinfo: str = "/proc/self/mountinfo"
    file_errors: set[str] = field(default_factory=set)
    """Codes of the errors in .jobs.json that were reported, so that none is reported twice."""

    @cached_property
    def now(self) -> datetime:
        """The instant of this run of the checks (UTC), the same for all of them."""
        return self.app.clock.now()

    @property
    def root(self) -> Path:
        """The folder that holds main.py."""
        return Path(self.app.root)

    @property
    def need_settings(self) -> Settings:
        """The settings, for checks that are made only if there are valid ones."""
        if self.settings is None:
            raise InternalError("A check was made without the settings that it needs")
        return self.settings

    @property
    def need_session(self) -> Session:
        """The session, for checks that are made only if there is one."""
        if self.session is None:
            raise InternalError("A check was made without the store that it needs")
        return self.session

    @property
    def need_store(self) -> Store:
        """The store of the session."""
        return self.need_session.store

    @cached_property
    def crontab(self) -> UserCrontab:
        """What `crontab -l` says."""
        answer = self.ask(["crontab", "-l"], in_english(self.app.environ), "/", _SECONDS)
        if answer.code == 0:
            return UserCrontab(answer.out)
        if answer.code is None:
            return UserCrontab("", f"The program crontab can't be run: {answer.reason}", NO_PROGRAM)
        told = answer.err.strip() or answer.out.strip()
        return UserCrontab("") if says_none(told) else UserCrontab("", f"crontab -l says: {told[:200]}", fix_for(told))

    @cached_property
    def ticks_lately(self) -> bool:
        """Whether a tick has run recently, whatever started it."""
        return self.settings is not None and not self.app.tick_state(self.now)["stale"]

    @cached_property
    def daemon(self) -> Mapping[str, object]:
        """The daemon of this database: `running`, `pid`, `host`, `since`."""
        return self.app.daemon_state() if self.settings is not None else {"running": False}

    @property
    def daemon_name(self) -> str:
        """The running daemon, as text for people."""
        has_pid = self.daemon.get("pid") is not None
        return f"process {self.daemon['pid']} on {self.daemon['host']}" if has_pid else "a process of unknown ID"
