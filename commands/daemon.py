"""`daemon`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

import click

import idle
from boundary import guarded
from commands.output import print_json
from daemon import Daemon
from errors import SettingsError
from health import CLOCK_FACT, PING_FACT, clock_fact
from models import utc_text
from processes import Beside, Stop
from waking.alarm import make_alarm
from waking.doorbell import Doorbell
from waking.one_daemon import OneDaemon
from waking.systemd import Systemd
from wiring import App

if TYPE_CHECKING:
    from scheduler import Scheduler
    from settle import Settled
    from store.bundle import Store
    from upkeep import Upkeep

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Program:
    """The whole program, as the daemon knows it. It is the one place that knows both."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.stop_sec = app.settings.stop_sec
        # The time that is left at each look must not go stale.
        self.poll_sec = min(app.settings.poll_sec, app.settings.stale_after_sec / 2)

    def open(self) -> Store:
        return self._app.open_store()

    def scheduler(self, store: Store, stop: Stop) -> Scheduler:
        return self._app.scheduler(store, stop)

    def upkeep(self, store: Store) -> Upkeep:
        return self._app.upkeep(store)

    def settle(self) -> Settled:
        with self._app.store() as store:
            return self._app.settler(store).settle()

    def file_seen(self) -> str:
        return idle.identity(str(self._app.settings.jobs_file)) if self._app.settings.auto_sync else ""

    def begin_sync(self) -> Beside:
        main = os.path.join(self._app.root, "main.py")
        return Beside([sys.executable, main, "sync-jobs", "--if-changed"], self._app.environ)

    def leave_time(self, now: datetime) -> None:
        # `status` will call the scheduler stale, which is the truth about a folder that can't be written.
        with suppress(OSError):
            idle.leave_time(str(self._app.settings.db_path), utc_text(now))

    def last_seen(self, store: Store) -> datetime | None:
        return self._app.last_seen(store)

    def note_anomaly(self, store: Store, anomaly: dict[str, object], now: datetime) -> None:
        store.state.set_fact(CLOCK_FACT, clock_fact(anomaly, now))

    def ping(self, *, failed: bool) -> Callable[[], object] | None:
        app, url = self._app, self._app.settings.ping_url
        if not url:
            return None

        def send() -> None:
            import ping

            error = ping.send(ping.address(url, failed=failed))
            fact = {"at": utc_text(app.clock.now()), "ok": not error, "failed": failed, "error": error or None}

            def keep() -> None:
                with app.store() as store:
                    store.state.set_fact(PING_FACT, fact)

            # A database that refuses this note has shown itself before.
            guarded(keep)

        return send

    def reload(self) -> _Program:
        app = App(self._app.clock, self._app.environ, self._app.root)
        if app.settings.db_path != self._app.settings.db_path:
            raise SettingsError(
                f"DB_PATH names another database now: {app.settings.db_path}",
                hint="A daemon serves one database: end it and start it again.",
                details={"path": str(app.settings.db_path), "served": str(self._app.settings.db_path)},
            )
        return _Program(app)


@click.command("daemon")
@click.pass_obj
def command(app: App) -> int:
    """Serve jobs on the instant, as one process that stays: instead of ticks from cron, or beside them.

    It sleeps until the next instant that matters, at most PURUTO_CRON_POLL_SECONDS. Commands that change jobs or cancel
    runs wake it at once; an edited .jobs.json is synced at the next look. A second daemon is refused (DAEMON_RUNNING).

    TERM and Ctrl-C: nothing more is started, runs may go on for PURUTO_CRON_STOP_SECONDS and are ended then, at once
    when asked again. HUP: reads .env and .jobs.json anew. Under systemd it says when it is ready and alive.

    Prints one line when it is ready, and one when runs have ended or something is wrong; lines as tick prints them.
    Exit code 0 when it was asked to end and has.

    \b
    Example:
      python3 main.py daemon
      {"status": "ready", "pid": 4711, "now": "2026-02-25T20:00:00+00:00", "database": "…/db/cron.db", …}
    """
    settings = app.settings
    place, since = str(settings.db_path), app.clock.now()
    systemd = Systemd(app.environ, os.getpid())
    with OneDaemon(place, since), _signals() as asked:
        stop, alarm = Stop(), make_alarm(app.clock)
        daemon = Daemon(
            _Program(app),
            clock=app.clock,
            stop=stop,
            alarm=alarm,
            bell=lambda: Doorbell(place),
            systemd=systemd,
            say=_say,
        )
        try:
            daemon.listen(asked, lambda: _heard(asked, daemon))
            daemon.begin()
            _say(
                {
                    "status": "ready",
                    "pid": os.getpid(),
                    "now": utc_text(app.clock.now()),
                    "database": place,
                    "poll_sec": settings.poll_sec,
                    "max_running": settings.max_running,
                    "warnings": list(settings.warnings),
                }
            )
            # What is there now stays: it need not be looked through again and again.
            gc.collect()
            gc.freeze()
            daemon.run()
        finally:
            daemon.close()
            alarm.close()
            stop.close()
    return 0


@contextmanager
def _signals() -> Iterator[int]:
    """A descriptor from which each signal can be read as a byte."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    read, write = os.pipe()
    for descriptor in (read, write):
        os.set_blocking(descriptor, False)
    # A closed terminal that nohup wants ignored stays ignored.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    names = [name for name in _SIGNALS if not (nohup and name is signal.SIGHUP)]
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    old = {name: signal.signal(name, lambda *_: None) for name in names}
    try:
        yield read
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def _heard(asked: int, daemon: Daemon) -> None:
    with suppress(BlockingIOError):
        for number in os.read(asked, 64):
            if number == signal.SIGHUP:
                daemon.reload()
            elif number in _SIGNALS:
                daemon.leave(signal.Signals(number).name)


def _say(told: Mapping[str, object]) -> None:
    """What nobody can read any more, or no disk takes, must not end who says it."""
    guarded(lambda: print_json(told))
