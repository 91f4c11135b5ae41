"""`import-crontab`."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from app.app import App
from commands.job_options import preview, synced_all
from commands.output import print_json
from core.boundary import Failure, guarded
from core.errors import CrontabUnreadable, JobsFileInvalid, NothingImported, UsageError
from install.crontab_program import read_crontab

if TYPE_CHECKING:
    from install.crontab_lines import Entry, Line
    from install.crontab_plan import Plan
    from install.crontab_translation import Refused, Terms

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Editing .jobs.json", 60)

MAX_BYTES = 1024 * 1024
#: Of a line so much is shown; cron itself takes no longer command. Source: cron's MAX_COMMAND.
_LONGEST_SHOWN = 1000


@click.command("import-crontab")
@click.argument("source", metavar="[FILE|-]", required=False)
@click.option(
    "--system/--user-form",
    "system",
    default=None,
    help="Whether lines name a user before the command. Without it: yes for /etc/crontab, /etc/cron.d, and where "
    "every line unmistakably does.",
)
@click.option("--target", metavar="NAME", help="The sibling to run in. Without it commands start in HOME, as by cron.")
@click.option("--enable", is_flag=True, help="Let the jobs run. Without this they are imported disabled.")
@click.option("--dry-run", is_flag=True, help="Check and show it, and write nothing.")
@click.pass_obj
def command(app: App, source: str | None, system: bool | None, target: str | None, enable: bool, dry_run: bool) -> None:
    """Turn the lines of a crontab into jobs of .jobs.json, and show what could not be taken over.

    Without FILE your own crontab is read, which stays as it is. Prints each line with its number: the job that it
    became, or that is there already and is not added again, or why it can't be one (@reboot, another user's, a time at
    random, the line that starts our own tick). All jobs are added in one step, and disabled: cron goes on with its
    lines until you take them out.

    A job runs as under cron: by the crontab's SHELL, in HOME, with its variables and cron's PATH, what follows % on
    stdin. Different from cron: no mail; a second run does not start beside the first; a run ends after a day, and what
    it left in the background with it; a slot that is up to three hours late still runs; daylight saving as in Debian's
    cron, also in the zone of CRON_TZ.

    Ends with 1 and NOTHING_IMPORTED when there are lines and none of them could be taken over.

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
    done = synced_all(app) if made.new and not dry_run else _dry(app, made)
    lists = _lists(made, done.pop("next"))
    report = {
        "source": source or "the crontab of this user",
        "form": "system" if is_of_system else "user",
        "dry_run": dry_run,
        **{name: [_masked(record, secrets) for record in records] for name, records in lists.items()},
        **done,
        "warnings": [*_warnings(text, made, enable=enable), *done["warnings"]],
    }
    if made.refused and not made.new and not made.existing and {why.code for _, why in made.refused} != {"OWN_TICK"}:
        hint = "details.not_imported says why, line by line. Nothing was changed."
        raise NothingImported("No line of the crontab could be taken over", hint=hint, details=mask(report))
    print_json({"status": "ok", **mask(report)})


# --- reading ---


def _text(app: App, source: str | None) -> str:
    """The crontab; bytes that are no UTF-8 as lone surrogates. Raises `CrontabUnreadable`, `CrontabUnusable`."""
    if source is None:
        return read_crontab(app.environ)
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if source == "-" else _bytes(source)
    if len(data) > MAX_BYTES:
        raise _unreadable(source, f"is larger than {MAX_BYTES // 1024**2} MiB")
    return data.decode("utf-8", "surrogateescape")


def _bytes(source: str) -> bytes:
    try:
        # A FIFO without a writer would hold up an ordinary open for ever.
        with open(source, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _unreadable(source, "is no regular file")
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unreadable(source, f"can't be read: {reason}") from None


def _unreadable(source: str, reason: str) -> CrontabUnreadable:
    name = _shown(source)
    hint = "Name a file with the lines of a crontab, or - for standard input; without one, your own crontab is read."
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
    """Raises `UsageError` when the target is not there, or none is given and our own folder can't be one."""
    from doctor.scene import account
    from install.crontab_translation import Terms
    from invocation.targets import Targets

    # Lines without CRON_TZ are in cron's own zone, whatever zone is set for our jobs.
    zone = app.machine_zone if app.machine_zone != app.default_zone else None
    name = target or app.settings.root.name
    found = guarded(lambda: Targets(app.settings.home, app.settings.data_path).resolve(name))
    if isinstance(found, Failure):
        message = found.message
        if target is None:
            # Whose name is no target's, or which lies elsewhere than its siblings.
            message = f"This folder, {app.settings.root}, can't be the target of the jobs: {message}"
        raise UsageError(message, hint="Name a sibling that is there: --target NAME")
    if target is None and os.path.realpath(found) != os.path.realpath(app.root):
        message = f"The name {name} leads to {found}, not to this folder: the jobs need another target"
        raise UsageError(message, hint="Name a sibling to run in: --target NAME")
    return Terms(name, in_home=target is None, account=account()[0], timezone=zone, enabled=enable)


def _plan(app: App, lines: list[Line], jobs: list[dict[str, Any]], terms: Terms, text: str) -> Plan:
    from doctor.starter import cron_environment, is_here
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


# --- telling ---


def _dry(app: App, made: Plan) -> dict[str, Any]:
    instants = {new.entry["job_id"]: preview(app, new.entry) for new in made.new}
    return {"next": instants, "warnings": app.no_tick_warning(app.clock.now())}


def _lists(made: Plan, instants: Mapping[str, object]) -> dict[str, list[dict[str, object]]]:
    from install.crontab_translation import use_of

    imported: list[dict[str, object]] = []
    for new in made.new:
        job_id = new.entry["job_id"]
        more = {"job_id": job_id, "entry": new.entry, "next": instants.get(job_id), "notes": list(new.notes)}
        imported.append({**_place(new.line), **more})
    variables: list[dict[str, object]] = []
    for variable in made.variables:
        use, note = use_of(variable)
        named = {"name": variable.name, "value": variable.value, "use": use, "note": note}
        variables.append({**_place(variable), **named})
    return {
        "imported": imported,
        "already_there": [{**_place(line), "job_id": job_id} for line, job_id in made.existing],
        "not_imported": [
            {**_place(line), "code": why.code, "reason": why.reason, "hint": why.hint} for line, why in made.refused
        ],
        "variables": variables,
    }


def _place(line: Line) -> dict[str, object]:
    return {"line": line.number, "text": line.text}


def _shown(text: str) -> str:
    plain = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return plain if len(plain) <= _LONGEST_SHOWN else f"{plain[:_LONGEST_SHOWN]}…"


def _warnings(text: str, made: Plan, *, enable: bool) -> list[dict[str, object]]:
    found: list[tuple[str, str]] = []
    names = [new.entry["job_id"] for new in made.new]
    if names and enable:
        found.append(("RUNS_TWICE", "cron goes on with these lines too: take them out of the crontab now"))
    elif names:
        message = "The jobs are disabled, so that nothing runs twice. Take a line out of the crontab, then: resume-job"
        found.append(("DISABLED", f"{message} {names[0]}"))
    if not (names or made.existing or made.refused):
        found.append(("NO_LINES", "The crontab has no line that runs anything"))
    if "\r\n" in text:
        found.append(("CRLF", "Lines end with CR LF; the CR is left out here, while cron makes it part of the command"))
    if text and not text.endswith("\n"):
        found.append(("NO_NEWLINE_AT_END", "The last line has no end: it is taken over here, while cron may ignore it"))
    return [{"code": code, "message": message} for code, message in found]


def _secrets(app: App, lines: list[Line]) -> list[str]:
    """What looks like a secret in the crontab."""
    from core.redact import secrets_of
    from install.crontab_lines import Entry, Variable
    from install.crontab_translation import secrets_in

    found: list[str] = []
    for line in lines:
        found += secrets_in(line.text)
        if isinstance(line, Variable):
            found += secrets_of({line.name: line.value}, app.settings.redact)
        elif isinstance(line, Entry):
            found += secrets_in(line.command) + secrets_in(line.stdin or "")
    return sorted(set(found))


def _masked(record: dict[str, object], secrets: list[str]) -> dict[str, object]:
    """A record without the secrets, and with its text cut to what is shown.

    Only secrets that stand in it are looked for in all their forms: there may be many.
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
