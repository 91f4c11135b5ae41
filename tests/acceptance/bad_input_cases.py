"""What a case of bad input is. The cases stand in the modules beside this one, a subject each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

from tests.acceptance.bad_input_cases_stage import Stage, Word


def nothing(stage: Stage) -> None:
    """No preparation."""


@contextmanager
def quiet(stage: Stage) -> Iterator[None]:
    """Nothing goes on meanwhile."""
    yield


@dataclass(frozen=True)
class Case:
    """One bad input: what is prepared, the command line, and the error that it must end with.

    Each of `names` stands in the message or the details: they name the place. `problems` are (code, path) of all
    faults that `details.problems` lists. `process` runs it as a process, in-process else; `plain_user` without the
    powers of root.
    """

    name: str
    words: tuple[Word, ...]
    code: str
    names: tuple[str, ...]
    exit_code: int = 2
    prepare: Callable[[Stage], object] = nothing
    meanwhile: Callable[[Stage], AbstractContextManager[object]] = quiet
    env: Mapping[str, Word] = field(default_factory=dict)
    problems: tuple[tuple[str, str], ...] = ()
    process: bool = False
    plain_user: bool = False


def as_process(*cases: Case) -> list[Case]:
    """The same cases, run as processes."""
    return [replace(case, name=f"{case.name}, as a process", process=True) for case in cases]
