"""The views of runs: `run-now`, `history`, `show`, `logs`, `cancel`, `unlock` and `sessions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from render.answers import said
from render.console import STYLES, Report, ViewContext, status_text
from render.grid import Grid
from render.hanging import Hanging
from render.parts import Excerpt, copied, error_facts, facts, head, lines_left, note, path, step, together
from render.words import counted, dollars, duration, instant_of, plain, sentence, short, size, when

_PC = "python3 main.py"
#: Files of a run that people need less than what it said.
_NOT_SHOWN = ".request.json"
#: Slots that did not run: what `started_at` says of them is when that was noted.
_NEVER_RAN = ("missed", "skipped")
#: A start that is so many seconds later than its slot is late.
_LATE_SEC = 60


# --- run-now ---


def ran(report: Report, context: ViewContext) -> RenderableType:
    """The view of `run-now`, on one screen: the verdict, what it said or why it failed, and where the rest is."""
    row: Report = report.get("row") or {}
    answer, error = said(report), report.get("error")
    status = str(row.get("status") or report["status"])
    took = row.get("duration_ms") if row.get("duration_ms") is not None else answer.duration_ms
    parts: list[RenderableType] = [_verdict(status, plain(report["job_id"]), took, report)]
    if error is not None:
        parts += error_facts(error, context)
    elif answer.text:
        is_part = bool(answer.result.get("stdout_truncated") or answer.result.get("text_truncated"))
        parts += [Text(), Excerpt(answer.text, lines_left(context), is_part=is_part), Text()]
    else:
        parts.append(Text("  It ended well and printed nothing.", "dim"))
    run_id = plain(report["run_id"])
    parts += facts([("cost", _cost(row)), ("files", path(row.get("output_dir")))])
    parts += _remarks(report, context)
    return together(*parts, step(f"{_PC} show {run_id}", label="More"))


def _verdict(status: str, name: str, took: object, report: Report) -> Text:
    attempts = report.get("attempts") or report.get("attempt") or 1
    more = f" after {attempts} attempts" if attempts > 1 else ""
    time = f" in {duration(took)}" if duration(took) else ""
    return head(status, STYLES.get(status, ""), name).append(f"{time}{more}", "not bold")


def _dollars(row: Report) -> str:
    """What a run cost; "" for 0, which is also what agents that report no dollars are stored with."""
    return dollars(row.get("cost_usd") or None)


def _cost(row: Report) -> str:
    numbers = [_dollars(row)]
    for name, thing in (("turns", "turn"), ("iterations", "iteration")):
        numbers.append(counted(row[name], thing) if row.get(name) else "")
    tokens = [f"{row[f'{way}put_tokens']:,} {way}" for way in ("in", "out") if row.get(f"{way}put_tokens")]
    numbers.append(f"tokens: {', '.join(tokens)}" if tokens else "")
    return ", ".join(filter(None, numbers))


def _remarks(report: Report, context: ViewContext) -> list[RenderableType]:
    """What is unusual about a run."""
    texts, result = [], said(report).result
    whole = report.get("result")
    session = whole.get("session") if isinstance(whole, Mapping) else None
    if isinstance(session, Mapping) and (lost := session.get("lost_session_id")):
        texts.append(f"Session {plain(lost, 100)} could not be continued: a new one was begun")
    if isinstance(stopped := result.get("stopped_tasks"), list):
        names = "; ".join(plain(task, 200) for task in stopped)
        texts.append(f"The agent left tasks in the background, which were stopped before they had ended: {names}")
    if result.get("did_not_exit"):
        texts.append("The agent had answered, but its process did not end: it was ended when its time was over")
    if missed := report.get("missed_slots"):
        texts.append(f"It stands for {counted(missed + 1, 'slot')}: the others were missed")
    if survivors := report.get("survivors"):
        texts.append(f"Processes of the run are still alive: {', '.join(map(plain, survivors))}")
    if ended := report.get("processes_ended"):
        texts.append(_processes(ended))
    if failure := report.get("verdict_not_stored"):
        texts.append(f"The result could not be stored: {plain(failure.get('message'), 500)}")
    for entry in report.get("events_waiting") or ():
        texts.append(f"{plain(entry['channel'])} was not told yet: {plain(entry['error'], 500)}")
    if broken := report.get("sync"):
        texts.append(f".jobs.json could not be loaded: {plain(broken['error'].get('message'), 500)}")
    notes: list[RenderableType] = [note(text, context) for text in texts]
    if hint := ((report.get("sync") or {}).get("error") or {}).get("details", {}).get("hint"):
        notes.append(Hanging(Text("  fix: ", "bold"), Text(sentence(hint, context.now, context.zone))))
    return notes


def _processes(ended: object) -> str:
    number = len(ended) if isinstance(ended, Sequence) else ended
    what = counted(number, "process", "processes") if isinstance(number, int) else "Processes"
    return f"{what} that the run left behind {'was' if number == 1 else 'were'} ended"


# --- history ---


def history(report: Report, context: ViewContext) -> RenderableType:
    """The view of `history`."""
    parts = [runs(report["runs"], context)]
    if more := report.get("next_command"):
        parts += [Text(), copied(f"There are more: {more}")]
    return together(*parts)


def runs(rows: Sequence[Report], context: ViewContext) -> RenderableType:
    """A table of runs, as `history` and `status` report them."""
    if not rows:
        return Text("No runs.")
    cells: list[list[str | Text]] = []
    for row in rows:
        error = f"{row['error_code']}: {plain(row.get('error'), 300)}" if row.get("error_code") else ""
        cells.append([plain(row["run_id"]), status_text(row["status"]), slot_of(row, context), started(row, context),
                      _took(row), _dollars(row), plain(error, 300)])  # fmt: skip
    columns = ["RUN", "STATUS", "SLOT", "STARTED", "TOOK>", "COST>", "ERROR"]
    for index in (6, 5, 4, 3, 2):
        if not any(cell[index] for cell in cells):
            del columns[index]
            for cell in cells:
                del cell[index]
    minimums = {columns.index("ERROR"): 20} if "ERROR" in columns else {}
    return Grid(columns, cells, minimums, movable=len(columns) - 1)


def slot_of(row: Report, context: ViewContext) -> str:
    """The slot, the last one of several, where the start does not say it: it did not run, or not within a minute."""
    slot = row.get("scheduled_for")
    if not slot or (row["status"] not in _NEVER_RAN and not _is_late(slot, row["started_at"])):
        return ""
    slots = f" ({counted(row['slots'], 'slot')})" if (row.get("slots") or 1) > 1 else ""
    return f"{short(slot, context.now, context.zone)}{slots}"


def _is_late(slot: object, started_at: object) -> bool:
    due, started = instant_of(slot), instant_of(started_at)
    return due is not None and started is not None and (started - due).total_seconds() >= _LATE_SEC


def started(row: Report, context: ViewContext) -> str:
    """When a run started; "" for slots that did not run."""
    return "" if row["status"] in _NEVER_RAN else when(row["started_at"], context.now, context.zone)


def _took(row: Report) -> str:
    return "" if row["status"] in _NEVER_RAN else duration(row.get("duration_ms"))


# --- show ---


def shown(report: Report, context: ViewContext) -> RenderableType:
    """The view of `show`."""
    row = report["run"]
    error = row.get("error")
    status = str(row["status"])
    parts: list[RenderableType] = [
        head(status, STYLES.get(status, ""), plain(row["run_id"])),
        *_row_facts(row, context, note=plain(report.get("note"), 500)),
    ]
    if isinstance(error, Mapping):
        parts += error_facts(error, context, with_stderr=not report["output"])
    request: Report = next(
        (call["request"] for call in report["calls"] if isinstance(call.get("request"), Mapping)), {}
    )
    if prompt := request.get("prompt"):
        parts += [Text("  prompt", "dim"), Excerpt(str(prompt), 3, 4)]
    answer = said(row)
    if answer.text:
        is_part = bool(answer.result.get("stdout_truncated") or answer.result.get("text_truncated"))
        parts += [Text("  it said", "dim"), Excerpt(answer.text, 8, 4, is_part=is_part)]
    parts += _output(report, lines=6 if not answer.text else 3)
    parts += _remarks(row, context)
    if status in _NEVER_RAN:
        return together(*parts)
    return together(*parts, step(f"{_PC} logs --run {plain(row['run_id'])}", label="All its output"))


def _row_facts(row: Report, context: ViewContext, note: str) -> list[Hanging]:
    now, zone = context.now, context.zone
    if row["status"] in _NEVER_RAN:
        slot = f"{short(row.get('scheduled_for'), now, zone)}"
        slots = f", and {counted(row['slots'] - 1, 'slot')} before it" if (row.get("slots") or 1) > 1 else ""
        return facts([
            ("note", note),
            ("job", plain(row["job_id"])),
            ("slot", f"{slot}{slots}; it did not start"),
            ("noted", when(row["started_at"], now, zone)),
        ])  # fmt: skip
    slot = f" for the slot {short(row['scheduled_for'], now, zone)}" if row.get("scheduled_for") else ""
    code = row.get("exit_code")
    cancelled = row.get("cancel_requested_at")
    return facts([
        ("note", note),
        ("job", plain(row["job_id"])),
        ("started", f"{when(row['started_at'], now, zone)}, by {plain(row.get('trigger'))}{slot}"),
        ("took", duration(row.get("duration_ms"))),
        ("attempts", str(row["attempt"]) if (row.get("attempt") or 0) > 1 else ""),
        ("target", path(row.get("target")).append(_by(row))),
        ("exit code", "" if code is None else str(code)),
        ("cost", _cost(row)),
        ("session", plain(row.get("session_id"))),
        ("retry of", plain(row.get("retry_of"))),
        ("cancelled", f"{when(cancelled, now, zone)} by {plain(row.get('cancel_requested_by'))}" if cancelled else ""),
        ("owner", plain(row.get("lease_owner"))),
        ("files", path(row.get("output_dir"))),
    ])  # fmt: skip


def _by(row: Report) -> str:
    return f" ({plain(row['runner'])})" if row.get("runner") else ""


def _output(report: Report, lines: int) -> list[RenderableType]:
    """The end of what the last attempt printed."""
    parts: list[RenderableType] = []
    attempt = f"attempt-{report['run'].get('attempt')}."
    for file in report["output"]:
        if file["file"].startswith("attempt-") and not file["file"].startswith(attempt):
            continue
        if problem := file.get("problem"):
            parts.append(Hanging(Text("  ! ", "yellow"), Text(plain(problem, 500))))
        elif not file["file"].endswith(_NOT_SHOWN) and str(file.get("text") or "").strip():
            is_part = bool(file.get("truncated"))
            end = ", of which the end was read" if is_part else ""
            parts.append(Text(f"  {plain(file['file'])}, {size(file['bytes'])}{end}", "dim"))
            parts.append(Excerpt(str(file["text"]), lines, 4, last=True, is_part=is_part))
    return parts


# --- logs ---


def logs(report: Report, context: ViewContext) -> RenderableType:
    """The view of `logs`: the events and, for a single run, what it printed."""
    cells = [
        (plain(event.get("run_id") or event.get("job_id")), short(event["ts"], context.now, context.zone),
         _what(event, context))
        for event in report["events"]
    ]  # fmt: skip
    grid = Grid(("RUN", "WHEN", "WHAT"), cells, {2: 30}, movable=2)
    parts: list[RenderableType] = [grid if cells else Text("No events.")]
    for file in report.get("output") or ():
        name = path(file["path"], "bold").append(", its end" if file.get("truncated") else "")
        parts += [
            Text(),
            name,
            Excerpt(str(file.get("problem") or file["text"]), 100_000, 0),
        ]
    return together(*parts)


def _what(event: Report, context: ViewContext) -> Text:
    error = event.get("error")
    if isinstance(error, Mapping):
        text = sentence(error.get("message"), context.now, context.zone, 300)
        return Text(f"{plain(error.get('code'))}: {text}", STYLES["error"])
    return Text(f"ok: {text}" if (text := plain(said(event).text, 160)) else "ok")


# --- cancel, unlock, sessions ---


def cancelled(report: Report, context: ViewContext) -> RenderableType:
    """The view of `cancel`."""
    status = str(report["run_status"])
    first = head(status, STYLES.get(status, ""), plain(report["run_id"]))
    error = report.get("error")
    parts: list[RenderableType] = [first]
    if isinstance(error, Mapping):
        parts += facts([("why", sentence(error.get("message"), context.now, context.zone))])
    return together(*parts, step(f"{_PC} show {plain(report['run_id'])}", label="More"))


def unlocked(report: Report, _context: ViewContext) -> RenderableType:
    """The view of `unlock`."""
    name = plain(report["job_id"])
    # A job that is disabled or paused is not started without --force.
    after = step(f"{_PC} run-now {name}" if report["enabled"] else f"{_PC} status")
    if not report["was_locked"]:
        return together(Text(f"{name} was not locked: nothing to do."), after)
    parts: list[RenderableType] = [Text(f"Released {name}: it can start again.")]
    for run in report["ended_runs"]:
        how = (
            "had ended by itself" if run["ended_meanwhile"] else f"was ended; its scheduler {run['owner']} {_was(run)}"
        )
        parts.append(Hanging(Text("  "), Text(f"{plain(run['run_id'])} {plain(how)}")))
    return together(*parts, after)


def _was(run: Report) -> str:
    return {"alive": "was alive and was killed", "hangs": "did not answer", "gone": "was gone"}[run["owner_was"]]


def sessions(report: Report, context: ViewContext) -> RenderableType:
    """The view of `sessions`."""
    if "was_kept" in report:
        name = plain(report["job_id"])
        return Text(f"{name} starts without its session." if report["was_kept"] else f"{name} had no session.")
    rows = report["sessions"]
    if not rows:
        return Text("No job has left anything for its next run.")
    parts: list[RenderableType] = []
    for row in rows:
        parts.append(head(plain(row["job_id"]), "bold", ""))
        parts += facts([
            ("mode", plain(row["session_mode"])),
            ("session", f"{plain(row['session_id'])} ({plain(row['runner'])})" if row["session_id"] else ""),
            ("left by", f"{plain(row['run_id'])}, {when(row['updated_at'], context.now, context.zone)}"),
        ])  # fmt: skip
        if row["summary"]:
            parts += [Text("  summary", "dim"), Excerpt(str(row["summary"]), 4 if len(rows) > 1 else 40, 4)]
    return together(*parts)
