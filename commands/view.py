"""Prints what a command has to say: text for people on a terminal, JSON for programs. One place decides which."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from click.core import ParameterSource

from app.app import App
from commands.output import json_text, print_json, print_text
from config.settings import as_root, format_of
from core.boundary import Failure, guarded
from core.errors import UsageError
from core.ownership import is_root_in_foreign
from core.shell import quoted

if TYPE_CHECKING:
    from core.errors import CronError
    from render.console import View, ViewContext

#: Where click keeps what `--json` or `--text` has chosen, for the command and what it calls.
_CHOICE = "commands.view.as_json"


def _remember(ctx: click.Context, _param: click.Parameter, value: bool | None) -> None:
    if value is not None:
        ctx.meta[_CHOICE] = value


class FormatOption(click.Option):
    """The options `--json` and `--text`. Each command has them, unless its module says `HAS_FORMATS = False`."""

    def __init__(self) -> None:
        super().__init__(
            ["--json/--text"],
            default=None,
            expose_value=False,
            callback=_remember,
            help="What to print. Default: PURUTO_CRON_FORMAT, else text on a terminal and JSON elsewhere.",
        )


def choose(form: str) -> None:
    """Chooses what is printed as `--json` and `--text` do, for an option that knows more forms than these two.

    Raises `UsageError` if one of the two was given and says something else.
    """
    context = click.get_current_context()
    given = context.meta.get(_CHOICE)
    if given is not None and form != ("json" if given else "text"):
        flag = "--json" if given else "--text"
        raise UsageError(f"{flag} contradicts --format {form}", hint="Give one of them.")
    context.meta[_CHOICE] = form == "json"


def once_more(**changes: object) -> str:
    """The command that runs now, as it was given, with these parameters changed: a line for a shell."""
    context = click.get_current_context()
    words = [f"python3 main.py {context.info_name}"]
    for param in context.command.params:
        name = str(param.name)
        was_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        value = changes.get(name, context.params.get(name) if was_given else None)
        if value is None:
            continue
        words += [quoted(value)] if isinstance(param, click.Argument) else [param.opts[0], quoted(value)]
    return " ".join(words)


def is_chosen() -> bool:
    """Whether `--json` or `--text` was given."""
    return _CHOICE in click.get_current_context().meta


def wants_text(app: App, *, elsewhere: str = "json") -> bool:
    """Whether to print text: the option says so, else PURUTO_CRON_FORMAT, else whether stdout is a terminal.

    `elsewhere` is what is printed without any wish where stdout is no terminal.
    """
    context = click.get_current_context(silent=True)
    as_json = None if context is None else context.meta.get(_CHOICE)
    return _is_text(as_json, lambda: _setting(app), elsewhere)


def _is_text(as_json: bool | None, setting: Callable[[], str], elsewhere: str = "json") -> bool:
    if as_json is not None:
        return not as_json
    wish = setting()
    if wish == "auto":
        return is_terminal(sys.stdout) or elsewhere == "text"
    return wish == "text"


def _setting(app: App) -> str:
    settings = guarded(lambda: app.settings)
    if not isinstance(settings, Failure):
        return settings.format
    found = guarded(lambda: format_of(app.environ, Path(app.root)))
    return "auto" if isinstance(found, Failure) else found


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is a terminal; False for None, a closed descriptor."""
    return stream is not None and not stream.closed and stream.isatty()


def is_screen(stream: TextIO | None) -> bool:
    """Whether it is a terminal on which text can be overwritten."""
    return is_terminal(stream) and (os.environ.get("TERM") or "dumb") not in ("dumb", "unknown")


def show(app: App, report: Mapping[str, object], view: str | View = "", *, elsewhere: str = "json") -> None:
    """Prints a report: as JSON, or as text in the view of that name.

    `view` is a key of `render.views.VIEWS`, or a function of the report and a `ViewContext`. Without a view, each field
    of the report is a line. A warning is added where root runs somebody's copy. Raises `OutputUnwritable`.
    """
    if is_root_in_foreign(app.root):
        warning, told = as_root(Path(app.root)), report.get("warnings") or []
        if isinstance(told, Sequence) and warning not in told:
            report = {**report, "warnings": [*told, warning]}
    if not wants_text(app, elsewhere=elsewhere):
        print_json(report)
        return
    from render.views import text_of

    context = view_context(app)
    text = guarded(lambda: text_of(view, report, context), "The report was printed without its view")
    if isinstance(text, Failure):
        text = text_of("", report, context)
    print_text(text.split("\n"), context.screen.encoding)


def line_maker(app: App) -> Callable[[Mapping[str, object]], str]:
    """Makes the lines in which a command that runs for long tells what happens: JSON, or text for people."""
    if not wants_text(app):
        return json_text
    from render.happenings import lines_of

    def text(report: Mapping[str, object]) -> str:
        context = view_context(app)
        lines = guarded(lambda: lines_of(report, context), "The report was printed as JSON")
        return json_text(report) if isinstance(lines, Failure) else context.screen.shown("\n".join(lines))

    return text


def view_context(app: App) -> ViewContext:
    """Who looks, when and on what screen."""
    from render.console import ViewContext
    from render.screen import screen_of

    zone = guarded(lambda: app.default_zone)
    screen = screen_of(sys.stdout, app.environ)
    return ViewContext(app.clock.now(), "UTC" if isinstance(zone, Failure) else zone, screen, _places(app))


def _places(app: App | None) -> tuple[str, ...]:
    """The folders and files of this copy, whose paths no line end may break."""
    if app is None:
        return ()
    own = guarded(app.paths)
    known = [] if isinstance(own, Failure) else own.values()
    return app.root, os.path.dirname(app.root), app.environ.get("HOME", ""), *known


def print_error(
    error: CronError,
    app: App | None,
    argv: Sequence[str] = (),
    mask: Callable[[Mapping[str, object]], dict[str, object]] | None = None,
) -> None:
    """Prints the error as `{"status": "error", "error": {"code", "message", "details"}}`, or as text for people.

    `argv` is the command line, because one that is wrong was not parsed. `app` is None if it could not be made; `mask`
    masks secrets. Raises `OutputUnwritable`.
    """
    report: Mapping[str, Any] = error.as_dict()
    report = mask(report) if mask else report
    environ: Mapping[str, str] = os.environ if app is None else app.environ
    wish = environ.get("PURUTO_CRON_FORMAT", "auto")
    if not _is_text(_chosen(argv), (lambda: wish) if app is None else (lambda: _setting(app))):
        print_json({"status": "error", "error": report})
        return
    from render.errors import error_text
    from render.screen import screen_of

    screen = screen_of(sys.stdout, environ)
    print_text(screen.shown(error_text(report, screen, _places(app))).split("\n"), screen.encoding)


def _chosen(argv: Sequence[str]) -> bool | None:
    """Whether the last of `--json` and `--text` is `--json`; None if neither is there."""
    words = argv[: argv.index("--")] if "--" in argv else argv
    given = [word == "--json" for word in words if word in ("--json", "--text")]
    return given[-1] if given else None
