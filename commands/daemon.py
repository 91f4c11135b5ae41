"""`daemon`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import nullcontext

import click

from app.app import App
from app.own_log import own_log
from commands.lines import Lines
from commands.view import line_maker
from core import log
from core.clock import utc_text
from daemon.daemon import Daemon
from daemon.program import Program
from system.cgroups import own_group
from system.daemon_lock import DaemonLock
from system.processes import Stop, adopt_orphans, reap_children
from system.self_pipe import SelfPipe
from system.stop_signals import STOP_SIGNALS, signals_as_bytes
from system.systemd import Systemd
from system.wakeup import Wakeup
from system.wall_clock_timer import make_timer

#: Its group in `--help`, and its position in that group.
PLACE = ("Running", 40)


@click.command("daemon")
@click.pass_obj
def command(app: App) -> int:
    """Run jobs at the exact time, as one process that keeps running: instead of ticks from cron, or in addition.

    It sleeps until the next job is due, at most PURUTO_CRON_POLL_SECONDS. Commands that change jobs or cancel runs wake
    it at once; it sees an edited .jobs.json or .env when it next wakes. Only one daemon can run: a second one is
    refused (DAEMON_RUNNING).

    TERM and Ctrl-C stop it: it starts no more jobs, and ends running ones after PURUTO_CRON_STOP_SECONDS, or at once
    when asked again. HUP makes it read .jobs.json and .env at once. Under systemd it reports that it is ready and
    alive.

    Prints one line when it is ready, and one when runs have ended or something is wrong, in the form of tick. Exit
    code 0 after it was asked to stop.

    \b
    Example:
      python3 main.py daemon
      {"status": "ready", "pid": 4711, "now": "2026-02-25T20:00:00+00:00", "database": "…/db/cron.db", …}
    """
    settings = app.settings
    log.reopen(lambda: own_log(app, level="info"))
    db_path, since = str(settings.db_path), app.clock.now()
    systemd = Systemd(app.environ, os.getpid())
    say = Lines(sys.stdout.fileno(), line_maker(app)).say
    # Opened before other files are made in that folder: a wrong DB_PATH must leave no trace.
    app.open_session().close()
    with (
        DaemonLock(db_path, since) as lock,
        own_group(app.owner.process) if settings.cgroups else nullcontext("") as group,
        signals_as_bytes(children=adopt_orphans(group)) as signals,
    ):
        stop, timer = Stop(), make_timer(app.clock)
        daemon = Daemon(
            Program(app),
            clock=app.clock,
            stop=stop,
            timer=timer,
            open_wakeup=lambda: Wakeup(db_path),
            systemd=systemd,
            print_line=say,
            lock=lock,
        )
        try:
            daemon.listen(signals.descriptor, lambda: _on_signals(signals, daemon))
            log.info(f"The daemon starts: {db_path}")
            # As process 1 of a container it may have become the parent of somebody's dead before.
            reap_children()
            daemon.begin()
            say(
                {
                    "status": "ready",
                    "pid": os.getpid(),
                    "now": utc_text(app.clock.now()),
                    "database": db_path,
                    "poll_sec": settings.poll_sec,
                    "max_running": settings.max_running,
                    "warnings": list(settings.warnings),
                }
            )
            # The objects that exist now stay for ever: the garbage collector need not examine them again.
            gc.collect()
            gc.freeze()
            daemon.run()
        finally:
            daemon.close()
            log.info("The daemon has ended")
            timer.close()
            stop.close()
    return 0


def _on_signals(signals: SelfPipe, daemon: Daemon) -> None:
    numbers = signals.clear()
    if signal.SIGCHLD in numbers:
        reap_children()
    for number in numbers:
        if number == signal.SIGHUP:
            daemon.reload()
        elif number in STOP_SIGNALS:
            daemon.stop_serving(signal.Signals(number).name)
