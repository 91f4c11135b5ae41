"""The command line. Each command is a file that is imported on use: it parses, calls one thing, and prints the result.

It may import everything below it; nobody imports it but `main.py`. A new command is one new file here: named like the
command, with its `command` and its `PLACE` in the help. `listing.py` finds it.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import click

from app.own_log import own_log
from commands import listing, words
from commands.completion import PROGRAM
from commands.completion import VARIABLE as COMPLETING
from commands.names import with_suggestion
from commands.output import lost
from commands.view import FormatOption, print_error
from core import log, streams
from core.boundary import Failure, failure_of, guarded
from core.errors import CronError, DatabaseFull, InternalError, Interrupted, OutputUnwritable, UsageError, machine_fault
from core.missing_library import missing_library
from core.strict_json import excerpt, visible
from core.suggest import nearest
from core.version import VERSION

if TYPE_CHECKING:
    from app.app import App
    from core.clock import Clock

HELP = """A local scheduler for AI agents and programs that accounts for every slot.

Jobs are declared in .jobs.json, in the same folder as main.py. The system crontab starts `tick` each minute, or one
`daemon` runs all the time; both start the jobs that are due.

Each command prints text on a terminal, and one JSON object elsewhere or with --json, also for errors (daemon: one
object per line). PURUTO_CRON_FORMAT=json or =text chooses for all commands; doctor prints text unless JSON is chosen.

Exit codes: 0 success; 1 a known error, or a run that failed; 2 wrong usage or configuration; 129, 130 and 143 after a
closed terminal, Ctrl-C and TERM (a daemon that was asked to stop: 0).

\b
Start here:
  python3 main.py init-db
  python3 main.py register-job --help
  python3 main.py run-now JOB_ID
  python3 main.py install-crontab
  python3 main.py doctor
"""


class Commands(click.Group):
    """Imports the module of a command when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of all commands, in the order of the help."""
        return listing.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, or None."""
        if not listing.is_command(cmd_name):
            return None
        module = importlib.import_module(listing.module_of(cmd_name))
        command: click.Command = module.command
        if getattr(module, "HAS_FORMATS", True) and not any(isinstance(p, FormatOption) for p in command.params):
            command.params.append(FormatOption())
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises `UsageError` for words that no command takes. The shell's completion can't show an error."""
        if not ctx.resilient_parsing:
            words.check(args)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises `UsageError`, which suggests the nearest name, if there is no such command."""
        if args and not args[0].startswith("-") and not listing.is_command(args[0]):
            names = listing.names()
            near = nearest(args[0], names, cutoff=0.7)
            hint = f"Did you mean {near}?" if near else "See: python3 main.py --help"
            raise UsageError(f"There is no command {excerpt(args[0])}", hint=hint, details={"commands": names})
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands by purpose."""
        width = formatter.width - 6 - max(map(len, listing.names()))
        for title, group in listing.groups().items():
            with formatter.section(title):
                commands = [(name, self.get_command(ctx, name)) for name in group]
                formatter.write_dl([(name, command.get_short_help_str(width)) for name, command in commands if command])


@click.command(
    cls=Commands, params=[FormatOption()], help=HELP, no_args_is_help=False, context_settings={"max_content_width": 120}
)
@click.option("--debug", is_flag=True, help="Print the traceback of a fault of puruto-cron on stderr.")
@click.version_option(VERSION, prog_name=PROGRAM)
def cli(debug: bool) -> None:
    """The group of all commands."""
    if debug:
        log.print_tracebacks()


def run(argv: list[str], clock: Clock, root: str) -> int:
    """Runs a command line and returns its exit code. Every error is printed, as JSON or as text.

    `root` is the folder of main.py, with links resolved.
    """
    from app.app import App
    from config.settings import main_folder

    try:
        app = App(clock, os.environ, str(main_folder(os.path.join(root, "main.py"))))
    except CronError as error:
        return _fail(error, None, argv)
    with log.opened(lambda: own_log(app)):
        return _run(argv, app)


def _run(argv: list[str], app: App) -> int:
    try:
        if COMPLETING in os.environ:
            # Ends the process.
            cli.main(prog_name=PROGRAM, complete_var=COMPLETING, obj=app)
        code = cli.main(args=argv or ["--help"], prog_name="python3 main.py", standalone_mode=False, obj=app)
    except OutputUnwritable as error:
        return _unwritable(error)
    except click.ClickException as error:
        # The path begins with the program's name, which is what people paste.
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        hint = f"See: {usage} --help" if usage else ""
        return _fail(UsageError(error.format_message(), hint=hint), app, argv)
    except (click.Abort, KeyboardInterrupt):
        return _fail(Interrupted("Interrupted"), app, argv)
    except Exception as error:  # noqa: BLE001 - the command line's boundary
        if isinstance(error, OSError) and _is_from_printing(error):
            return _unwritable(lost(error))
        return _fail(_traced(error), app, argv)
    return code if isinstance(code, int) else 0


def _unwritable(error: OutputUnwritable | None) -> int:
    """Says on stderr that the output was lost. None: its reader has gone, which is no fault."""
    if error is None:
        return 0
    streams.say(f"{error.code}: {error.message}")
    return error.exit_code


def _is_from_printing(error: OSError) -> bool:
    """Whether it was raised where click or rich writes to stdout, as for --help or a table."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__")) if trace is not None else ""
    return module.partition(".")[0] in ("click", "rich")


#: Commands that nobody watches: their failures belong in the log.
_UNWATCHED = ("tick", "daemon")


def _fail(error: CronError, app: App | None, argv: list[str]) -> int:
    # A wrong set-up is not of one moment: `status` and `doctor` show it, and the log would fill with it.
    # A full disk has no room for a line of the log either.
    is_of_the_moment = (
        error.exit_code == 1 and error.code != DatabaseFull.code and any(word in _UNWATCHED for word in argv[:2])
    )
    level = log.WARNING if is_of_the_moment else log.INFO
    log.write(level, f"The command {' '.join(argv[:1])} failed: {error.message}", code=error.code)
    if app is not None:
        error = with_suggestion(app, error, argv)
    # If the settings can't be read, no secrets are known; errors in settings are reported without their values.
    redact = guarded(lambda: app.redactor(None)) if app is not None else None
    mask = None if isinstance(redact, Failure) else redact
    try:
        print_error(error, app, argv, mask)
    except OutputUnwritable:
        # stdout can't be written, so only stderr is left.
        streams.say(visible(f"{error.code}: {mask.text(error.message) if mask else error.message}"))
    return error.exit_code


def _traced(error: Exception) -> CronError:
    """The error to print; an internal error says where its traceback is."""
    if isinstance(error, ModuleNotFoundError):
        return missing_library(error)
    failure, error = failure_of(error), machine_fault(error) or error
    if isinstance(error, CronError) and error.code != InternalError.code:
        return error
    details = dict(failure.details)
    hint = str(details.pop("hint", "Please report it with these details."))
    return InternalError(failure.message, hint=hint, details=details)


__all__ = ["cli", "run"]
