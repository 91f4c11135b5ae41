"""The tables and the help in docs/commands.md, made from the commands themselves."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Iterator

import click

from commands import cli, listing
from core.job import Job

_WIDTH = 110
_FIELDS = frozenset(field.name for field in dataclasses.fields(Job))


def command_table() -> str:
    """A Markdown table for each group of commands: usage and purpose of each."""
    root = _root()
    parts = []
    for title, group in listing.groups().items():
        rows = [f"| `{_cell(usage(command))}` | {_first_line(command)} |" for command in _commands(root, group)]
        parts.append("\n".join([f"**{title}**", "", "| command | what it does |", "|---|---|", *rows]))
    return "\n" + "\n\n".join(parts) + "\n\n"


def command_help() -> str:
    """The `--help` of each command, without the options for fields of a job."""
    root = _root()
    parts = []
    for group in listing.groups().values():
        for command in _commands(root, group):
            text = "\n".join(f"    {line}".rstrip() for line in _help(command, root).strip().splitlines())
            parts.append(f"### {command.name}\n\n{text}\n")
    return "\n" + "\n".join(parts) + "\n"


def usage(command: click.Command) -> str:
    """The command with its arguments and options: `pause-job JOB_ID [--until T]`."""
    words = [str(command.name)]
    shown_fields = False
    for parameter in command.params:
        if parameter.name in _FIELDS and isinstance(parameter, click.Option) and _edits(command):
            if not shown_fields:
                words.append("[--FIELD …]")
            shown_fields = True
        elif isinstance(parameter, click.Option):
            words.append(_option(parameter))
        else:
            text = parameter.metavar or str(parameter.name).upper()
            words.append(text if parameter.required or text.startswith("[") else f"[{text}]")
    return " ".join(words)


def _root() -> click.Context:
    return click.Context(cli, info_name="python3 main.py")


def _commands(root: click.Context, names: Iterable[str]) -> Iterator[click.Command]:
    for name in names:
        command = cli.get_command(root, name) if isinstance(cli, click.Group) else None
        if command is not None:
            yield command


def _edits(command: click.Command) -> bool:
    return sum(parameter.name in _FIELDS for parameter in command.params) > 5


def _option(option: click.Option) -> str:
    text = option.opts[0]
    if not option.is_flag:
        choices = option.type.choices if isinstance(option.type, click.Choice) else ()
        default = "|".join(map(str, choices)) if 0 < len(choices) <= 3 else str(option.name).upper()
        text += f" {option.metavar or default}"
    return text if option.required else f"[{text}]"


def _first_line(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "").split("\n\n", 1)[0]
    return _cell(" ".join(text.split()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _help(command: click.Command, root: click.Context) -> str:
    edits = _edits(command)
    params = [param for param in command.params if not (edits and param.name in _FIELDS and param.name != "job_id")]
    copy = click.Command(str(command.name), help=command.help, params=params)
    context = click.Context(copy, parent=root, info_name=command.name, terminal_width=_WIDTH, max_content_width=_WIDTH)
    text = copy.get_help(context)
    return text + ("\n\nAnd one option for each field of a job, such as --timeout-sec." if edits else "")
