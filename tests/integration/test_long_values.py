"""An error never repeats the whole of a value that somebody gave: a message is for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import click
import pytest

from commands import cli, listing
from core.errors import CronError, UsageError
from core.job import Job
from tests.support_machine import COUNT, Machine, shell
from tests.workspace import FakeClock, Workspace

LONG = "A" * 120_000
#: The most characters of an error about one value, as JSON.
MOST = 6_000
#: What a command needs besides the value that is tried.
NEEDED = {
    "register-job": ("x", "--puruto-target", "puruto-target", "--schedule", "@daily", "--prompt", "x", "--dry-run"),
    "edit-job": ("job-0", "--dry-run"),
    "rename-job": ("job-0", "--dry-run"),
    "pause-job": ("job-0",),
    "import-crontab": ("--dry-run",),
    "install-systemd": ("--print",),
}
#: These run until they are stopped, or look at the machine for long, and take no text.
LEFT_OUT = {"daemon", "doctor", "watch"}
FORMS = (LONG, f"{LONG}=x", f"x={LONG}", f"[{LONG}", f'{{"{LONG}": 1}}', f'{{"exit_codes": "{LONG}"}}', "é" * 60_000)


def _values() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each command with each of its texts, as far as it is given on a command line."""
    for name in listing.names():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for parameter in command.params if name not in LEFT_OUT else ():
            if isinstance(parameter, click.Argument):
                yield name, ()
            elif isinstance(parameter, click.Option) and not parameter.is_flag:
                yield name, (parameter.opts[0],)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    found = Machine(Workspace(tmp_path_factory.mktemp("long")), FakeClock())
    found.ready(shell(COUNT))
    return found


@pytest.mark.parametrize(("name", "option"), sorted(set(_values())), ids="".join)
def test_no_error_repeats_a_long_value(machine: Machine, name: str, option: tuple[str, ...]) -> None:
    for value in FORMS:
        try:
            with suppress(SystemExit):
                machine.printed(name, *NEEDED.get(name, ()), *option, value)
        except CronError as error:
            text = json.dumps(error.as_dict(), ensure_ascii=False)
        except click.ClickException as error:
            text = UsageError(error.format_message()).message
        else:
            continue
        assert len(text) < MOST, f"{len(text)} characters: {text[:300]}"


@pytest.mark.parametrize("field", sorted(vars(Job)["__dataclass_fields__"]))
@pytest.mark.parametrize("value", [LONG, [LONG], {LONG: LONG}, 10**4_000], ids=["text", "list", "object", "number"])
def test_no_fault_of_the_file_repeats_a_long_value(machine: Machine, field: str, value: object) -> None:
    with pytest.raises(CronError) as caught:
        machine.run("edit-job", "job-0", "--dry-run", "--from-json", json.dumps({field: value, "unknown": 1}))
    problems = json.dumps(caught.value.as_dict(), ensure_ascii=False)
    assert len(problems) < MOST * 2, f"{len(problems)} characters: {problems[:300]}"
