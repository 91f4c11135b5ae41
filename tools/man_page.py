"""The man page, made of the help of all commands. Source of the form: man-pages(7), groff_man(7)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from commands import GROUPS, VERSION, cli
from commands.completion import PROGRAM

_SECTIONS = """.SH FILES
.TP
.I .jobs.json
the jobs, as they are declared
.TP
.I .env
settings and secrets; .env.example lists all
.TP
.I db/cron.db
SQLite: jobs, runs, and what is still to be told
.TP
.I notifications/events.jsonl
one line for each run that ended
.TP
.I runs/
request and output of each run
.SH EXIT STATUS
0 fine; 1 a controlled error, or a run that failed; 2 bad usage or configuration; 129, 130 and 143 ended by a closed
terminal, Ctrl-C or TERM.
.SH SEE ALSO
README.md and docs/ in the folder of main.py;
.BR crontab (5),
.BR systemd.timer (5)
"""


def man_page() -> str:
    """The text of `docs/man/puruto-cron.1`."""
    root = click.Context(cli, info_name=PROGRAM)
    parts = [
        f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {VERSION}" "{PROGRAM}"',
        ".SH NAME",
        f"{PROGRAM} \\- {text(first_line(cli).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {PROGRAM}",
        ".I COMMAND",
        "[OPTIONS]",
        ".br",
        ".B python3 main.py",
        ".I COMMAND",
        "[OPTIONS]",
        ".SH DESCRIPTION",
        *paragraphs(cli),
    ]
    for title, group in GROUPS.items():
        parts.append(f'.SH "{title.upper()}"')
        for name in group:
            command = cli.get_command(root, name)
            if command is not None:
                parts += of_command(command, click.Context(command, info_name=name, parent=root))
    return "\n".join(parts) + "\n" + _SECTIONS


def of_command(command: click.Command, context: click.Context) -> Iterator[str]:
    """One command: how it is written, what it does, its options."""
    words = " ".join(command.collect_usage_pieces(context))
    yield f".SS {text(context.info_name or '')} {text(words)}"
    yield from paragraphs(command)
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield from (".TP", f".B {text(record[0])}", text(record[1]))


def paragraphs(command: click.Command) -> Iterator[str]:
    """Its help: text that is filled, and blocks behind a \\b as they are."""
    for number, block in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))):
        lines = block.split("\n")
        yield ".PP" if number else '.\\"'
        if lines[0].strip() != "\b":
            yield from (text(line.strip()) for line in lines)
            continue
        yield ".nf"
        yield from (text(line.rstrip()) for line in lines[1:])
        yield ".fi"


def first_line(command: click.Command) -> str:
    """What stands first in its help."""
    return (command.help or "").strip().split("\n")[0]


def text(words: str) -> str:
    """Words as groff shows them: with its own characters escaped, and no line that is taken for a request."""
    plain = words.replace("\\", "\\e").replace("-", "\\-")
    plain = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in plain)
    return f"\\&{plain}" if plain[:1] in (".", "'") else plain
