"""What the tick and the daemon did, a line for each happening. Imports no library: the daemon runs for long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from render.answers import said
from render.paragraphs import wrapped
from render.whole import JOINT, joined
from render.words import counted, dollars, duration, plain, short, undelivered

if TYPE_CHECKING:
    from render.console import Report, ViewContext

#: The most characters of what a run said or why it failed.
_LONGEST = 160


def lines_of(report: Report, context: ViewContext) -> list[str]:
    """The lines of a report of the daemon, each with the time; a tick's report has the same form."""
    now = context.now.isoformat(timespec="seconds")
    at = f"{short(report.get('now') or now, context.now, context.zone, seconds=True)}  "
    lines: list[str] = []
    report = joined(report, context.places)
    for line in list(happenings(report)) or [_state(report)]:
        first, *others = wrapped(line, context.screen.width - len(at)) or [""]
        lines += [at + first, *(" " * len(at) + other for other in others)]
    return [line.replace(JOINT, " ") for line in lines]


def happenings(report: Report) -> Iterator[str]:
    """What happened, without the time."""
    if (error := report.get("error")) is not None:
        yield f"error: {_error(error)}{_fix(error)}"
    for result in report.get("results") or ():
        yield result_line(result)
    for run in report.get("settled") or ():
        yield f"{plain(run['job_id'])}: {_error(run['error'])}"
    for row in report.get("written_off") or ():
        yield _error(row)
    for problem in report.get("problems") or ():
        name = f"{plain(problem['job_id'])}: " if problem.get("job_id") else ""
        yield f"{name}{_error(problem['error'])}"
    if left := report.get("left_due"):
        yield f"still due, because there was no free place: {', '.join(map(plain, left))}"
    if anomaly := report.get("clock_anomaly"):
        yield f"the clock was set back ({plain(anomaly['code'])})"
    yield from _sync(report.get("sync"))
    for entry in (report.get("events") or {}).get("waiting") or ():
        yield undelivered(entry)
    for warning in report.get("warnings") or ():
        yield f"warning: {plain(warning.get('message'), 500)}"


def result_line(result: Mapping[str, Any]) -> str:
    """How a run ended, in one line: `backup ok in 3.2 s, $0.25: Trabajo completado`."""
    name = plain(result.get("job_id"))
    if (error := result.get("error")) is not None:
        attempts = result.get("attempts") or 1
        more = f" after {attempts} attempts" if attempts > 1 else ""
        return f"{name} error{more}: {_error(error)}"
    answer = said(result)
    took = f" in {duration(answer.duration_ms)}" if answer.duration_ms is not None else ""
    cost = f", {dollars(answer.cost_usd)}" if answer.cost_usd else ""
    text = f": {plain(answer.text, _LONGEST)}" if answer.text else ""
    return f"{name} ok{took}{cost}{text}"


def _state(report: Report) -> str:
    status = report.get("status")
    if status == "ready":
        return f"ready: pid {report.get('pid')}, database {plain(report.get('database'), 500)}. Ctrl-C stops it."
    if status == "stopping":
        running = counted(int(report.get("running") or 0), "run")
        return f"stopping ({plain(report.get('reason'))}): waiting for {running} that {_are(report)} going on"
    if status == "reloaded":
        return "settings and .jobs.json were read again"
    return "the failure is over" if report.get("recovered") else "nothing was due"


def _are(report: Report) -> str:
    return "is" if report.get("running") == 1 else "are"


def _sync(sync: object) -> Iterator[str]:
    if not isinstance(sync, Mapping):
        return
    if "error" in sync:
        yield f".jobs.json was not loaded: {_error(sync['error'])}{_fix(sync['error'])}"
        return
    renamed = sync.get("renamed") or ()
    parts = [f"renamed {', '.join(_renamed(change) for change in renamed[:5])}"] if renamed else []
    for name in ("added", "changed", "removed"):
        jobs = sync.get(name) or ()
        number = jobs if isinstance(jobs, int) else len(jobs)
        if number:
            parts.append(f"{name} {number}" if isinstance(jobs, int) else f"{name} {', '.join(map(plain, jobs[:5]))}")
    yield f".jobs.json was loaded: {'; '.join(parts) or 'no job changed'}"


def _renamed(change: Mapping[str, Any]) -> str:
    return f"{plain(change['from'])} to {plain(change['to'])}"


def _fix(error: Mapping[str, Any]) -> str:
    hint = (error.get("details") or {}).get("hint")
    return f" fix: {plain(hint, 500)}" if hint else ""


def _error(error: Mapping[str, Any]) -> str:
    return f"{plain(error.get('message'), _LONGEST)} [{plain(error.get('code'))}]"
