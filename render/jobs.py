"""The views of jobs: `list`, the answers to edits, `sync-jobs` and `dry-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from rich.console import RenderableType
from rich.text import Text

from core.invocation_errors import codes
from render.console import Report, ViewContext, status_text
from render.grid import Grid
from render.hanging import Hanging
from render.parts import Excerpt, copied, error_facts, facts, first_step, instants, note, path, step, together
from render.whole import pasted
from render.words import counted, distance, plain, short, verbatim, when

_PC = "python3 main.py"
#: Warnings that say that the job's runs would fail.
_UNSTARTABLE = codes() | {"COMMAND_UNUSABLE"}
#: On a narrower screen there is no room for how far away an instant is.
_WIDE = 80
#: The most characters of a command and of a variable that are printed to be copied.
_LONGEST_COPIED = 16_384
#: The most jobs that an answer names.
_NAMED = 20


def jobs(report: Report, context: ViewContext) -> RenderableType:
    """The view of `list`."""
    rows = report["jobs"]
    if not rows and "after" in report:
        return together(Text(f"No job comes after {plain(report['after'])}."), step(f"{_PC} list"))
    if not rows:
        return together(Text("There are no jobs."), first_step(report))
    cells: list[list[str | Text]]
    cells = [[plain(job["job_id"]), _schedule(job, context), _next(job, context), _last(job, context)] for job in rows]
    states = [_state(job, context.now) for job in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    columns = ["JOB", "SCHEDULE", "NEXT", "LAST"]
    if any(job.get("note") for job in rows):
        columns.append("NOTE")
        cells = [[*row, Text(plain(job.get("note"), 300), "dim")] for row, job in zip(cells, rows, strict=True)]
    parts: list[RenderableType] = [
        Grid(columns, cells, {4: 20, 1: 15, 2: 12, 3: 12, 0: 12}, movable=len(columns) - 4),
        Text(),
        Text(f"{counted(len(rows), 'job')}: {counts}", "dim"),
    ]
    for job in rows:
        if job.get("problem"):
            parts.append(note(f"{plain(job['job_id'])}: {message_of(job['problem'])}", context, "bold red"))
    if more := report.get("next_command"):
        parts.append(copied(f"There are more: {more}"))
    return together(*parts)


def message_of(problem: object) -> object:
    """What is wrong with a job; what is stored may have been changed by hand."""
    return problem.get("message") if isinstance(problem, Mapping) else problem


def _state(job: Report, now: datetime) -> str:
    if job.get("problem"):
        return "with a problem"
    if is_paused(job, now):
        return "paused"
    return "enabled" if job["enabled"] else "disabled"


def _schedule(job: Report, context: ViewContext) -> str:
    zone = f" ({plain(job['timezone'])})" if job["timezone"] != context.zone else ""
    return f"{plain(job['schedule'])}{zone}"


def _next(job: Report, context: ViewContext) -> Text:
    state = _state(job, context.now)
    zone = str(job["timezone"])
    if state == "paused":
        until = short(pause_end(job, context.now), context.now, zone)
        return Text(f"paused until {until}" if until else "paused", "bold yellow")
    if state != "enabled":
        return Text(state.removeprefix("with a "), "bold red" if job.get("problem") else "dim")
    at = (job["next_run"] or {}).get("utc")
    if not at:
        return Text("never", "dim")
    return Text((when if context.screen.width >= _WIDE else short)(at, context.now, zone))


def pause_end(job: Report, now: datetime) -> str:
    """Until when a job is paused, as UTC text; "" for one that is not, or without an end."""
    paused = job.get("paused")
    definition = job.get("definition")
    own = definition if isinstance(definition, Mapping) else job
    until = (paused.get("until") if isinstance(paused, Mapping) else None) or own.get("paused_until") or ""
    return str(until) if str(until) > now.isoformat() else ""


def is_paused(job: Report, now: datetime) -> bool:
    """Whether a job is paused: because it failed too often, by hand, or until a time."""
    return bool(job.get("paused") or pause_end(job, now))


def _last(job: Report, context: ViewContext) -> Text:
    last = job["last_run"]
    if not last:
        return Text("never ran", "dim")
    text = status_text(last.get("status"))
    text.append(f" {distance(last.get('finished_at') or last.get('started_at'), context.now)}", "dim")
    if (failures := job["consecutive_failures"]) > 1:
        text.append(f", failed {failures} times", "red")
    return text


# --- answers to edits ---


def _edited(done: str, as_before: str, report: Report, context: ViewContext) -> RenderableType:
    name, planned = plain(report["job_id"]), report.get("next") or {}
    entry = report.get("entry") or {}
    paused = report.get("paused")
    enabled = entry.get("enabled", True)
    off = "" if enabled else " It is paused." if paused else " It is disabled."
    if report.get("dry_run"):
        first = Text.assemble("Checked ", (name, "bold"), ": it is valid. Nothing was written.")
    elif not report.get("changed", True):
        first = Text.assemble((name, "bold"), f" {as_before}. Nothing was changed.")
    else:
        if done == "Paused":
            is_off = entry.get("paused_until") and off
            off = " It is disabled too: after the pause, resume-job enables it." if is_off else ""
        first = Text.assemble(f"{done} ", (name, "bold"), ".", off)
    rows = [
        ("schedule", f"{plain(entry.get('schedule'))} ({plain(planned.get('timezone'))})" if planned else ""),
        ("paused until", when(entry.get("paused_until"), context.now, str(planned.get("timezone") or context.zone))),
        ("next" if enabled else "would run",
         instants(planned.get("instants"), context, planned.get("timezone")) if planned else ""),
    ]  # fmt: skip
    return together(first, facts(rows), step(*_after(report, name, enabled=bool(enabled))))


def _after(report: Report, name: str, *, enabled: bool) -> list[str]:
    if report.get("dry_run"):
        return ["the same command without --dry-run"]
    return [f"{_PC} dry-run {name}"] if enabled or _cannot_start(report) else [f"{_PC} resume-job {name}"]


registered = partial(_edited, "Registered", "")
edited = partial(_edited, "Changed", "has these fields already")
paused = partial(_edited, "Paused", "is paused already")
resumed = partial(_edited, "Resumed", "is enabled, and not paused")


def removed(report: Report, _context: ViewContext) -> RenderableType:
    """The view of `remove-job`."""
    name = plain(report["job_id"])
    if report.get("dry_run"):
        return together(Text(f"{name} is there. Nothing was written."), step("the same command without --dry-run"))
    return together(Text(f"Removed {name}. Its history stays."), step(f"{_PC} history {name}", label="See"))


def renamed(report: Report, _context: ViewContext) -> RenderableType:
    """The view of `rename-job`."""
    (change,) = report["renamed"]
    old, new = plain(change["from"]), plain(change["to"])
    if report["dry_run"]:
        return together(
            Text(f"{old} can be called {new}. Nothing was written."), step("the same command without --dry-run")
        )
    return together(
        Text(f"{old} is called {new} now, with its whole history."), step(f"{_PC} history {new}", label="See")
    )


# --- sync-jobs ---


def synced(report: Report, context: ViewContext) -> RenderableType:
    """The view of `sync-jobs`."""
    if "sync" in report:
        inner = report["sync"]
        if inner is None:
            return Text("Nothing to do: .jobs.json has not changed since it was loaded.")
        return together(*error_facts(inner["error"], context)) if "error" in inner else synced(inner, context)
    parts: list[RenderableType] = [Text(f"Loaded {counted(report['synced_jobs'], 'job')} from .jobs.json.")]
    for change in report.get("renamed") or ():
        parts.append(Hanging(Text("  renamed  ", "yellow"), Text(f"{plain(change['from'])} to {plain(change['to'])}")))
    for name, style in (("added", "green"), ("changed", "yellow"), ("removed", "red")):
        names = report[name]
        for job_id in names[:_NAMED]:
            planned = report["next"].get(job_id)
            zone = planned.get("timezone") if planned else None
            upcoming = f"  next: {_first(planned, context, zone)}" if planned else ""
            parts.append(Hanging(Text(f"  {name:<7}  ", style), Text(f"{plain(job_id)}{upcoming}")))
        if len(names) > _NAMED:
            parts.append(Text(f"  … {len(names) - _NAMED} more {name}", "dim"))
    if not any(report[name] for name in ("added", "changed", "removed", "renamed")):
        parts.append(Text("  Nothing changed.", "dim"))
    return together(*parts, step(f"{_PC} list"))


def _first(planned: Report, context: ViewContext, zone: object) -> str:
    entries = planned.get("instants") or ()
    return when(entries[0].get("utc"), context.now, str(zone or context.zone)) if entries else "never"


# --- dry-run ---


def dry_run(report: Report, context: ViewContext) -> RenderableType:
    """The view of `dry-run`."""
    name = plain(report["job_id"])
    parts: list[RenderableType] = [Text.assemble((name, "bold"), " was not started. This is how it would run:")]
    if report["problem"]:
        parts[0] = Text.assemble((name, "bold"), " could not start:")
        parts += error_facts(report["problem"], context)
    if report["gate"]:
        parts.append(note(f"A gate is closed now: {plain(report['gate']['reason'])}", context))
    paused, off = report["paused"], not report["enabled"]
    zone = plain(report["timezone"])
    if paused:
        until = f" until {short(paused['until'], context.now, zone)}" if paused["until"] else ""
        parts.append(note(f"It is paused{until}: {_PC} resume-job {name} ends that", context))
    elif off:
        parts.append(note(f"It is disabled: {_PC} resume-job {name} enables it", context))
    if report["running"]:
        parts.append(note("It is running now", context))
    argv = report.get("argv")
    rows: list[tuple[str, str | Text | None]] = [
        ("note", plain(report.get("note"), 500)),
        ("schedule", f"{plain(report['schedule'], 1_000)} ({zone})"),
        ("next", instants(report["instants"], context, zone)),
        ("target", path(report.get("target"))),
        ("runner", plain(report.get("runner"))),
        ("timeout", f"{report['timeout_sec']:,} s" if "timeout_sec" in report else ""),
    ]
    parts += facts(rows)
    if argv:
        parts += [Text("  command", "dim"), _command(argv)]
    prompt = report.get("prompt")
    if prompt:
        parts += [Text("  prompt", "dim"), Excerpt(str(prompt), 8, 4)]
    if (stdin := report.get("stdin")) and stdin != prompt:
        parts += [Text("  stdin", "dim"), Excerpt(str(stdin), 4, 4)]
    if environment := report.get("environment"):
        parts.append(Text("  environment", "dim"))
        parts += [_variable(name, value) for name, value in environment.items()]
    return together(*parts, _start(report, name))


def _start(report: Report, name: str) -> list[Hanging]:
    """How to start it now. What could not start needs its fix first."""
    if report["problem"]:
        return []
    if report["running"]:
        return step(f"{_PC} status")
    refused = report["paused"] or report["gate"] or not report["enabled"]
    return step(f"{_PC} run-now {name}{' --force' if refused else ''}")


def _cannot_start(report: Report) -> bool:
    """Whether a warning says that a run would fail."""
    return any(entry.get("code") in _UNSTARTABLE for entry in report.get("warnings") or ())


def _command(argv: Sequence[object]) -> RenderableType:
    """A command line as a shell reads it, whole unless it is very long."""
    text = verbatim(" ".join(pasted(word) or "''" for word in argv))
    if len(text) > _LONGEST_COPIED:
        return Excerpt(text, 8, 4)
    return Text(f"    {text}", no_wrap=True, overflow="ignore")


def _variable(name: str, value: object) -> Text:
    """An assignment as a shell reads it."""
    text = verbatim(value)
    cut = "…" if len(text) > _LONGEST_COPIED else ""
    return Text(f"    {plain(name)}={pasted(text[:_LONGEST_COPIED])}{cut}", no_wrap=True, overflow="ignore")
