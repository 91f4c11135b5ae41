"""`import-crontab`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import click

from app.app import App
from commands.job_options import preview, synced_all
from commands.view import show
from core.boundary import Failure, guarded
from core.bounded_file import UnfitFile, read_bounded
from core.errors import CrontabUnreadable, JobsFileInvalid, NothingImported, UsageError
from core.job import SCHEDULER_ID
from install.crontab_program import read_crontab

if TYPE_CHECKING:
    from install.crontab_lines import Entry, Line
    from install.crontab_plan import Plan
    from install.crontab_translation import Refused, Terms
    from reports.health import WarningEntry

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 60)

MAX_BYTES = 1024 * 1024
#: At most this many characters of a line are shown; cron's own limit of a command. Source: cron's MAX_COMMAND.
_LONGEST_SHOWN = 1000


@click.command("import-crontab")
@click.argument("source", metavar="[FILE|-]", required=False)
@click.option(
    "--system/--user-form",
    "system",
    default=None,
    help="Whether lines name a user before the command. Default: yes for /etc/crontab and /etc/cron.d, and if every "
    "line clearly does.",
)
@click.option("--target", metavar="NAME", help="The sibling to run in. Default: commands start in HOME, as under cron.")
@click.option("--enable", is_flag=True, help="Enable the jobs. Without this they are imported disabled.")
@click.option("--dry-run", is_flag=True, help="Check and show the jobs, but write nothing.")
@click.pass_obj
def command(app: App, source: str | None, system: bool | None, target: str | None, enable: bool, dry_run: bool) -> None:
    """Import the lines of a crontab as jobs into .jobs.json, and show which could not be imported.

    Without FILE your own crontab is read; it is not changed. Prints each line with its number, and the job that it
    became, or the job that already does the same, or why it can't be a job (@reboot, another user, a random time, the
    line that starts our tick). All jobs are added in one step. They are disabled, because cron still runs its lines
    until you remove them. docs/guides/import-crontab.md lists what is understood of each cron.

    A job runs as under cron: with the crontab's SHELL, in HOME, with its variables and cron's PATH, and the text after
    % on stdin. Different from cron: there is no mail; a second run does not start while the first is running; a run is
    ended after a day, with all that it left in the background; a slot that is up to three hours late still runs;
    daylight saving is handled as by Debian's cron, also in the zone of CRON_TZ.

    Exit code 1 and NOTHING_IMPORTED if there are lines, but none could be imported.

    \b
    Examples:
      python3 main.py import-crontab --dry-run
      python3 main.py import-crontab /etc/cron.d/backup --system
      ssh server crontab -l | python3 main.py import-crontab -
    """
    from install.crontab_lines import is_system, parse

    text = _text(app, source)
    by_path = _is_system_path(source)
    is_of_system = by_path or is_system(text, _is_account) if system is None else system
    lines = parse(text, system=is_of_system)
    terms = _terms(app, target, enable=enable)
    plans: list[Plan] = []

    def choose(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        plans.append(_plan(app, lines, jobs, terms, text))
        return [new.entry for new in plans[-1].new]

    app.editor().add_all(choose, dry_run=dry_run)
    made, mask, secrets = plans[-1], app.redactor(None), _secrets(app, lines)
    outcome = synced_all(app) if made.new and not dry_run else _dry(app, made)
    lists: Mapping[str, Any] = _lists(made, outcome.pop("next"))
    report = {
        "source": source or "the crontab of this user",
        "form": "system" if is_of_system else "user",
        "dry_run": dry_run,
        **{name: [_masked(record, secrets) for record in records] for name, records in lists.items()},
        **outcome,
        "warnings": [*_warnings(text, made, enable=enable), *outcome["warnings"]],
    }
    reasons = {refused.code for _, refused in made.refused}
    if made.refused and not made.new and not made.existing and reasons != {"OWN_TICK"}:
        message = "No line of the crontab could be imported"
        hint = "Each line has its reason, and how to write it where that is possible."
        if reasons in ({"ANACRONTAB"}, {"FCRONTAB"}):
            # All lines have the same reason: it is another program's table.
            message, hint = made.refused[0][1].reason, made.refused[0][1].hint
        raise NothingImported(message, hint=f"{hint} Nothing was changed.", details=mask(report))
    show(app, {"status": "ok", **mask(report)}, "import-crontab")


# --- reading ---


def _text(app: App, source: str | None) -> str:
    """The crontab; bytes that are not UTF-8 become surrogates. Raises `CrontabUnreadable`, `CrontabUnusable`."""
    if source is None:
        return read_crontab(app.environ)
    data = _bytes(source)
    if len(data) > MAX_BYTES:
        raise _unreadable(source, f"is larger than {MAX_BYTES // 1024**2} MiB")
    return data.decode("utf-8", "surrogateescape")


def _bytes(source: str) -> bytes:
    try:
        return sys.stdin.buffer.read(MAX_BYTES + 1) if source == "-" else read_bounded(source, MAX_BYTES)[0]
    except UnfitFile as error:
        raise _unreadable(source, error.reason) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unreadable(source, f"can't be read: {reason}") from None


def _unreadable(source: str, reason: str) -> CrontabUnreadable:
    name = _shown(source)
    hint = "Name a file with crontab lines, or - for standard input; without a name your own crontab is read."
    return CrontabUnreadable(f"{name} {reason}", hint=hint, details={"file": name})


def _is_system_path(source: str | None) -> bool:
    path = os.path.realpath(source) if source not in (None, "-") else ""
    return path == "/etc/crontab" or os.path.dirname(path) == "/etc/cron.d"


def _is_account(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


# --- deciding ---


def _terms(app: App, target: str | None, *, enable: bool) -> Terms:
    """Raises `UsageError` if the target does not exist, or if none is given and our own folder can't be one."""
    from install.crontab_machine import account
    from install.crontab_translation import Terms

    # Lines without CRON_TZ are in the machine's zone, even if another zone is set for our jobs.
    zone = app.machine_zone if app.machine_zone != app.default_zone else None
    targets = app.targets()
    # Our own folder by the name that stays right if it is renamed or moved, unless another one has that name.
    is_own = target is None and guarded(lambda: targets.resolve(SCHEDULER_ID)) == app.settings.root
    name = target or (SCHEDULER_ID if is_own else app.settings.root.name)
    folder = guarded(lambda: targets.resolve(name))
    if isinstance(folder, Failure):
        message = folder.message
        if target is None:
            # Its name is not valid for a target, or it is not in the folder of the siblings.
            message = f"This folder, {app.settings.root}, can't be the target of the jobs: {message}"
        raise UsageError(message, hint="Name an existing sibling: --target NAME")
    if target is None and os.path.realpath(folder) != os.path.realpath(app.root):
        message = f"The name {name} means {folder} and not this folder, so the jobs need another target"
        raise UsageError(message, hint="Name a sibling to run in: --target NAME")
    return Terms(
        name, in_home=target is None, account=account()[0], timezone=zone, enabled=enable, is_account=_is_account
    )


def _plan(app: App, lines: list[Line], jobs: list[dict[str, Any]], terms: Terms, text: str) -> Plan:
    from install.crontab_machine import cron_environment, is_here
    from install.crontab_plan import plan
    from install.crontab_starts import marked, starts_of

    block, environ = marked(text), cron_environment()

    def own_tick(entry: Entry) -> bool:
        starts = starts_of(entry, "", environ)
        return entry.number in block or any(start.ticks and is_here(start, app.settings.root) for start in starts)

    return plan(lines, jobs, terms, own_tick=own_tick, check=_check(app), default_zone=app.default_zone)


def _check(app: App) -> Callable[[dict[str, Any]], Refused | None]:
    from install.crontab_translation import Refused

    editor = app.editor()

    def refusal(entry: dict[str, Any]) -> Refused | None:
        try:
            editor.check_entry(entry)
        except JobsFileInvalid as error:
            problems: Any = error.details["problems"]
            first = problems[0]
            return Refused(first["code"], f"{first['path'].removeprefix('jobs[0].')} {first['message']}",
                           first.get("hint", ""))  # fmt: skip
        return None

    return refusal


# --- reporting ---


class _Line(TypedDict):
    line: int
    text: str


class ImportedLine(_Line):
    """A line that became a job: its entry in .jobs.json, its next instants, and notes."""

    job_id: str
    entry: Mapping[str, object]
    next: object
    notes: list[str]


class ExistingLine(_Line):
    """A line for which there is a job already."""

    job_id: str


class RefusedLine(_Line):
    """A line that can't be a job: the code and sentence that say why, and what to do."""

    code: str
    reason: str
    hint: str


class VariableLine(_Line):
    """A variable, and what becomes of it: env, shell, timezone or not_taken_over."""

    name: str
    value: str
    use: str
    note: str


class ImportLists(TypedDict):
    """Each line of the crontab is in one of these lists."""

    imported: list[ImportedLine]
    already_there: list[ExistingLine]
    not_imported: list[RefusedLine]
    variables: list[VariableLine]


def _dry(app: App, made: Plan) -> dict[str, Any]:
    instants = {new.entry["job_id"]: preview(app, new.entry) for new in made.new}
    return {"next": instants, "warnings": app.no_tick_warning(app.clock.now())}


def _lists(made: Plan, instants: Mapping[str, object]) -> ImportLists:
    from install.crontab_translation import use_of
    from schedules.calendar import lone_steps

    imported: list[ImportedLine] = []
    for new in made.new:
        job_id = new.entry["job_id"]
        imported.append(
            {
                **_line(new.line),
                "job_id": job_id,
                "entry": new.entry,
                "next": instants.get(job_id),
                "notes": [*new.notes, *(f"{text}, as under cron" for text in lone_steps(new.entry["schedule"]))],
            }
        )
    variables: list[VariableLine] = []
    for variable in made.variables:
        use, note = use_of(variable)
        variables.append({**_line(variable), "name": variable.name, "value": variable.value, "use": use, "note": note})
    return {
        "imported": imported,
        "already_there": [{**_line(line), "job_id": job_id} for line, job_id in made.existing],
        "not_imported": [
            {**_line(line), "code": refused.code, "reason": refused.reason, "hint": refused.hint}
            for line, refused in made.refused
        ],
        "variables": variables,
    }


def _line(line: Line) -> _Line:
    return {"line": line.number, "text": line.text}


def _shown(text: str) -> str:
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return decoded if len(decoded) <= _LONGEST_SHOWN else f"{decoded[:_LONGEST_SHOWN]}…"


def _warnings(text: str, made: Plan, *, enable: bool) -> list[WarningEntry]:
    warnings: list[tuple[str, str]] = []
    names = [new.entry["job_id"] for new in made.new]
    if names and enable:
        warnings.append(("RUNS_TWICE", "cron still runs these lines too: remove them from the crontab now"))
    elif names:
        message = "The jobs are disabled, so that nothing runs twice. Remove a line from the crontab, then run"
        warnings.append(("DISABLED", f"{message} python3 main.py resume-job {names[0]}"))
    if not (names or made.existing or made.refused):
        warnings.append(("NO_LINES", "The crontab has no line that runs a command"))
    if "\r\n" in text:
        message = "Lines end with CR LF. The CR is removed here, but cron makes it part of the command"
        warnings.append(("CRLF", message))
    if text and not text.endswith("\n"):
        message = "The last line has no newline. It was imported, but cron may ignore it"
        warnings.append(("NO_NEWLINE_AT_END", message))
    return [{"code": code, "message": message} for code, message in warnings]


def _secrets(app: App, lines: list[Line]) -> list[str]:
    """The texts in the crontab that look like secrets."""
    from core.redact import secrets_of
    from install.crontab_lines import Entry, Variable
    from install.crontab_translation import secrets_in

    secrets: list[str] = []
    for line in lines:
        secrets += secrets_in(line.text)
        if isinstance(line, Variable):
            secrets += secrets_of({line.name: line.value}, app.settings.redact)
        elif isinstance(line, Entry):
            secrets += secrets_in(line.command) + secrets_in(line.stdin or "")
    return sorted(set(secrets))


def _masked(record: dict[str, object], secrets: list[str]) -> dict[str, object]:
    """A record with secrets masked and its text shortened.

    There may be many secrets: only those that it contains are then searched in all their forms.
    """
    from core.redact import Redactor

    text = "\n".join(_texts(record))
    present = [secret for secret in secrets if secret in text]
    hidden = Redactor(present)(record) if present else record
    return {**hidden, "text": _shown(str(hidden["text"]))}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(item)
