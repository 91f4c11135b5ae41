"""The tables of what declares itself in the code: error codes, gates, runners, agents."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

import gates
from core import invocation_errors
from core.errors import CronError
from core.kinds import AGENTS, RUNNERS

#: How tables of errors are marked, each with its second column.
_ERROR_TABLES: dict[str, tuple[str, Callable[[type[CronError]], str]]] = {
    "usage": ("exit", lambda kind: str(kind.exit_code)),
    "configuration": ("exit", lambda kind: str(kind.exit_code)),
    "commands": ("exit", lambda kind: str(kind.exit_code)),
    "database": ("exit", lambda kind: str(kind.exit_code)),
    "runs": ("retried", lambda kind: "yes" if invocation_errors.is_retried(kind.code) else "no"),
    "results": ("", lambda _kind: ""),
}


def tables() -> dict[str, Callable[[], str]]:
    """Each table by the name of its marker."""
    errors = {f"errors {name}": _error_table(name) for name in _ERROR_TABLES}
    return {**errors, "gates": gate_table, "runners": runner_table, "agents": agent_table}


def _error_table(name: str) -> Callable[[], str]:
    title, second = _ERROR_TABLES[name]

    def table() -> str:
        kinds = [kind for kind in error_kinds(CronError) if kind.table == name]
        more = [[f"`{kind.code}`", *([second(kind)] if title else []), meaning(kind), kind.fix] for kind in kinds]
        return _table(["code", *([title] if title else []), "meaning", "what to do"], more)

    return table


def error_kinds(kind: type[CronError]) -> Iterator[type[CronError]]:
    """The errors with a row of their own, in the order of the code: those that say what to do about them."""
    if "fix" in vars(kind) and kind is not CronError:
        yield kind
    for below in kind.__subclasses__():
        yield from error_kinds(below)


def meaning(kind: type[CronError]) -> str:
    """The first paragraph of its docstring, as the text of a cell."""
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split()).removesuffix(".")
    # A sentence becomes the part of one; a name keeps its capitals.
    return text[0].lower() + text[1:] if re.match(r"[A-Z](?=[a-z]* )", text) else text


def gate_table() -> str:
    """A Markdown table of the gates' codes."""
    return _table(
        ["code", "meaning", "what to do"], [[f"`{gate.code}`", gate.meaning, gate.fix] for gate in gates.all_gates()]
    )


def runner_table() -> str:
    """A Markdown table of all runners, in the order in which they are tried."""
    programs = sorted((RUNNERS[name] for name in RUNNERS if name not in AGENTS), key=lambda runner: runner.order)
    found = [*programs, *(AGENTS[name] for name in AGENTS)]
    rows = [[f"`{runner.name}`", runner.fits_when, runner.stdin, runner.success] for runner in found]
    return _table(["runner", "fits when", "stdin", "success"], rows)


def agent_table() -> str:
    """A Markdown table of the agents: their files, programs, and how they are installed."""
    rows = [
        [
            f"`{agent.name}`",
            ", ".join(f"`{marker}`" for marker in agent.markers),
            f"{agent.title}, `{agent.name}`",
            f"`{agent.install.removesuffix('.')}`",
        ]
        for agent in (AGENTS[name] for name in AGENTS)
    ]
    return _table(["runner", "fits a target with", "program", "install"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in cells)]
    return "\n".join(lines) + "\n"
