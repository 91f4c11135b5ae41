"""`daemon`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from app.app import App
from app.own_log import own_log
from commands.lines import Lines
from core import log
from core.clock import utc_text
from daemon.daemon import Daemon
from daemon.program import Program
from system.daemon_lock import OneDaemon
from system.processes import Stop
from system.systemd import Systemd
from system.wakeup import Wakeup
from system.wall_clock_timer import make_timer

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@click.command("daemon")
@click.pass_obj
def command(app: App) -> int:
    """Serve jobs on the instant, as one process that stays: instead of ticks from cron, or beside them.

    It sleeps until the next instant that matters, at most PURUTO_CRON_POLL_SECONDS. Commands that change jobs or cancel
    runs wake it at once; an edited .jobs.json or .env is heeded at the next look. A second daemon is refused
    (DAEMON_RUNNING).

    TERM and Ctrl-C: nothing more is started, runs may go on for PURUTO_CRON_STOP_SECONDS and are ended then, at once
    when asked again. HUP: a look at both at once. Under systemd it says when it is ready and alive.

    Prints one line when it is ready, and one when runs have ended or something is wrong; lines as tick prints them.
    Exit code 0 when it was asked to end and has.

    \b
    Example:
      python3 main.py daemon
      {"status": "ready", "pid": 4711, "now": "2026-02-25T20:00:00+00:00", "database": "…/db/cron.db", …}
    """
    settings = app.settings
    log.reopen(lambda: own_log(app, level="info"))
    place, since = str(settings.db_path), app.clock.now()
    systemd = Systemd(app.environ, os.getpid())
    say = Lines(sys.stdout.fileno() if sys.stdout is not None else None).say
    # Before anything is made beside it: a wrong DB_PATH leaves no trace.
    app.open_session().close()
    with OneDaemon(place, since), _signals() as asked:
        stop, timer = Stop(), make_timer(app.clock)
        daemon = Daemon(
            Program(app),
            clock=app.clock,
            stop=stop,
            timer=timer,
            open_wakeup=lambda: Wakeup(place),
            systemd=systemd,
            print_line=say,
        )
        try:
            daemon.listen(asked, lambda: _heard(asked, daemon))
            daemon.begin()
            say(
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
            log.info(f"The daemon starts: {place}")
            # What is there now stays: it need not be looked through again and again.
            gc.collect()
            gc.freeze()
            daemon.run()
        finally:
            daemon.close()
            log.info("The daemon has ended")
            timer.close()
            stop.close()
    return 0


@contextmanager
def _signals() -> Iterator[int]:
    """A descriptor from which each signal can be read as a byte."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    read, write = os.pipe()
    for descriptor in (read, write):
        os.set_blocking(descriptor, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # HUP too where it is ignored, as under nohup: here it is no end, but a reload.
    old = {name: signal.signal(name, lambda *_: None) for name in _SIGNALS}
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
                daemon.stop_serving(signal.Signals(number).name)
