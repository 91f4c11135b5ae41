"""The command line: a file a command, loaded on use. Parses, calls one thing, prints one JSON object on stdout.

It may import everything below it; nobody imports it but `main.py`. A new command is one new file here: named like the
command, with its `command` and its `PLACE` in the help. `listing.py` finds it.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import click

from app.own_log import own_log
from commands import listing
from commands.completion import PROGRAM
from commands.completion import VARIABLE as COMPLETING
from commands.output import print_error, print_json
from core import log
from core.boundary import Failure, failure_of, guarded
from core.errors import CronError, InternalError, Interrupted, OutputUnwritable, UsageError, missing_library
from core.version import VERSION

if TYPE_CHECKING:
    from app.app import App
    from core.clock import Clock

HELP = """A local scheduler for AI agents and programs that accounts for every slot.

Jobs are declared in .jobs.json, beside main.py. The system crontab starts `tick` each minute, or one `daemon` stays;
either runs what is due. Each command prints one JSON object on stdout (doctor with --json, daemon one after another),
also for errors.

\b
Exit codes: 0 fine; 1 a controlled error, or a run that failed; 2 bad usage or configuration; 129, 130 and 143 ended
by a closed terminal, Ctrl-C or TERM; of a daemon that was asked to end 0.

\b
Start here:
  python3 main.py init-db
  python3 main.py register-job --help
  python3 main.py run-now JOB_ID
  python3 main.py install-crontab
  python3 main.py doctor
"""


class Commands(click.Group):
    """Imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order of the help."""
        return listing.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None if there is none of that name."""
        if not listing.is_command(cmd_name):
            return None
        command: click.Command = importlib.import_module(listing.module_of(cmd_name)).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest command when there is none of that name."""
        if args and not args[0].startswith("-") and not listing.is_command(args[0]):
            import difflib

            names = listing.names()
            near = difflib.get_close_matches(args[0], names, n=1, cutoff=0.7)
            hint = f"Did you mean {near[0]}?" if near else "See: python3 main.py --help"
            raise UsageError(f"There is no command {args[0]!r}", hint=hint, details={"commands": names})
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, by what one wants."""
        width = formatter.width - 6 - max(map(len, listing.names()))
        for title, group in listing.groups().items():
            with formatter.section(title):
                found = [(name, self.get_command(ctx, name)) for name in group]
                formatter.write_dl([(name, known.get_short_help_str(width)) for name, known in found if known])


@click.command(cls=Commands, help=HELP, no_args_is_help=False, context_settings={"max_content_width": 120})
@click.option("--debug", is_flag=True, help="Print the traceback of a fault of puruto-cron on stderr.")
@click.version_option(VERSION, prog_name=PROGRAM)
def cli(debug: bool) -> None:
    """Holds the commands."""
    if debug:
        log.print_tracebacks()


def run(argv: list[str], clock: Clock, root: str) -> int:
    """Runs one command line and returns its exit code. Every error ends as one JSON object.

    `root` is the folder that holds main.py, links resolved.
    """
    from app.app import App
    from config.settings import main_folder

    try:
        app = App(clock, os.environ, str(main_folder(os.path.join(root, "main.py"))))
    except CronError as error:
        return _fail(error, None)
    with log.opened(lambda: own_log(app)):
        return _run(argv, app)


def _run(argv: list[str], app: App) -> int:
    try:
        if COMPLETING in os.environ:
            # Ends the process.
            cli.main(prog_name=PROGRAM, complete_var=COMPLETING, obj=app)
        code = cli.main(args=argv or ["--help"], prog_name="main.py", standalone_mode=False, obj=app)
    except OutputUnwritable as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return error.exit_code
    except click.ClickException as error:
        hint = f"See: {error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
        return _fail(UsageError(error.format_message(), hint=hint), app)
    except (click.Abort, KeyboardInterrupt):
        return _fail(Interrupted("Interrupted"), app)
    except Exception as error:  # noqa: BLE001 - the command line's boundary
        return _fail(_traced(error), app)
    return code if isinstance(code, int) else 0


def _fail(error: CronError, app: App | None) -> int:
    # Settings that can't be read name no secrets; what is wrong with them is told without their values.
    redact = guarded(lambda: app.redactor(None)) if app is not None else None
    mask = None if isinstance(redact, Failure) else redact
    try:
        print_error(error, mask)
    except OutputUnwritable:
        # stderr is all that is left.
        sys.stderr.write(f"{error.code}: {mask.text(error.message) if mask else error.message}\n")
    return error.exit_code


def _traced(error: Exception) -> CronError:
    """The error that is printed; a fault of ours says where its traceback stands."""
    if isinstance(error, ModuleNotFoundError):
        return missing_library(error)
    failure = failure_of(error)
    if isinstance(error, CronError) and error.code != InternalError.code:
        return error
    details = dict(failure.details)
    hint = str(details.pop("hint", "Please report it with these details."))
    return InternalError(failure.message, hint=hint, details=details)


__all__ = ["cli", "print_json", "run"]
