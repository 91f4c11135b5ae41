"""The view of `status`: is it alive, is anything wrong, what runs, what is next, what ended, what did it cost."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from core.listing import listed
from render.console import Report, ViewContext, status_text
from render.grid import Grid
from render.hanging import Hanging
from render.jobs import is_paused, message_of
from render.parts import facts, first_step, note, path, step, together
from render.runs import slot_of, started
from render.words import advised, counted, distance, dollars, plain, sentence, short, undelivered

#: The most rows of what is next and of what was spent.
_NEXT, _SPENDING = 5, 5


def status(report: Report, context: ViewContext) -> RenderableType:
    """The view of `status`. For a few jobs it fits a screen of 24 lines."""
    parts: list[RenderableType] = [_scheduler(report, context), *facts(_head(report, context))]
    parts += _wrong(report, context)
    if report["running"]:
        parts += [Text(), _running(report["running"], context)]
    if upcoming := _upcoming(report["jobs"]):
        parts += [Text(), _next(upcoming, context)]
    parts += [Text(), _recent(report["recent_runs"], context)]
    if not report["jobs"]:
        parts += first_step(report)
    return together(*parts)


def _scheduler(report: Report, context: ViewContext) -> Text:
    scheduler = report["scheduler"]
    last = scheduler["last_tick_at"]
    text = Text("puruto-cron  ", "bold")
    if report.get("starting"):
        text.append("starting", "bold yellow").append("  ", "not bold")
    elif scheduler["stale"]:
        text.append("STALE", "bold red").append("  no job starts by itself; ", "not bold")
    else:
        text.append("ok", "bold green").append("  ", "not bold")
    return text.append(f"last tick: {distance(last, context.now)}" if last else "no tick so far", "not bold")


def _head(report: Report, context: ViewContext) -> list[tuple[str, str | Text | None]]:
    jobs = report["jobs"]
    paused = sum(is_paused(job, context.now) for job in jobs)
    enabled = sum(bool(job["enabled"]) and not is_paused(job, context.now) for job in jobs)
    others = [f"{paused} paused"] if paused else []
    others += [f"{off} disabled"] if (off := len(jobs) - enabled - paused) else []
    daemon = report["scheduler"].get("daemon")
    rows: list[tuple[str, str | Text | None]] = [
        ("jobs", ", ".join([f"{counted(len(jobs), 'job')}, {enabled} enabled", *others])),
        (".jobs.json", _file(report["sync"])),
        ("database", path(report["paths"]["database"])),
    ]
    if isinstance(daemon, dict) and daemon.get("running"):
        rows.insert(0, ("daemon", f"running, pid {daemon.get('pid')}"))
    if spent := _spent(report["spending"]):
        rows.append(("spent", spent))
    if (ping := report.get("ping")) and not ping.get("ok"):
        rows.append(
            ("ping", Text(f"failed {distance(ping.get('at'), context.now)}: {plain(ping.get('error'))}", "red"))
        )
    return rows


def _file(sync: Report) -> str:
    if sync["in_step"]:
        return "as loaded"
    if sync.get("missing"):
        return "does not exist; the jobs go on as they were loaded"
    # What is wrong with it stands below.
    return "" if sync["error"] else "changed since it was loaded; to load it now: python3 main.py sync-jobs"


def _spent(rows: Sequence[Report]) -> str:
    """What agents cost in the last days, the dearest job first."""
    by_job: dict[str, float] = {}
    for row in rows:
        by_job[plain(row["job_id"])] = by_job.get(plain(row["job_id"]), 0.0) + float(row["cost_usd"] or 0)
    total = sum(by_job.values())
    if not total:
        return ""
    dearest = sorted(by_job.items(), key=lambda item: -item[1])[:_SPENDING]
    return f"{dollars(total)} in 7 days: {', '.join(f'{name} {dollars(cost)}' for name, cost in dearest if cost)}"


def _wrong(report: Report, context: ViewContext) -> list[RenderableType]:
    scheduler = report["scheduler"]
    parts: list[RenderableType] = []
    if error := report["sync"]["error"]:
        failure = error["error"]
        parts.append(note(f".jobs.json was not loaded: {failure['message']} [{failure['code']}]", context, "bold red"))
        details = failure.get("details") or {}
        if hint := details.get("hint"):
            parts.append(Hanging(Text("  fix: ", "bold"), Text(sentence(hint, context.now, context.zone))))
        if (details.get("problem_count") or 0) > 1:
            parts += step("python3 main.py sync-jobs", label="  All its faults")
    overdue = [plain(job["job_id"]) for job in scheduler["overdue_jobs"]]
    if overdue:
        parts.append(note(f"Overdue: {listed(overdue)}", context))
    for entry in scheduler["anomalies"]:
        parts.append(note(advised(entry), context))
    parts += [note(undelivered(entry), context) for entry in report["events"]["waiting"]]
    for job in report["jobs"]:
        if job.get("problem"):
            message = plain(message_of(job["problem"]), 500)
            parts.append(note(f"{plain(job['job_id'])}: {message}", context, "bold red"))
    return parts


def _running(rows: Sequence[Report], context: ViewContext) -> RenderableType:
    cells = [
        (plain(row["run_id"]), distance(row["started_at"], context.now), str(row["attempt"]), plain(row["lease_owner"]))
        for row in rows
    ]
    return Grid(("RUNNING", "SINCE", "ATTEMPT>", "OWNER"), cells, {3: 12}, movable=3)


def _upcoming(jobs: Sequence[Report]) -> list[Report]:
    planned = [job for job in jobs if job.get("next_run_at") and job["enabled"] and not job.get("paused")]
    return sorted(planned, key=lambda job: (str(job["next_run_at"]), str(job["job_id"])))


def _next(jobs: Sequence[Report], context: ViewContext) -> RenderableType:
    cells = [
        (plain(job["job_id"]), short(job["next_run_at"], context.now, context.zone),
         "due" if (left := distance(job["next_run_at"], context.now)).endswith("ago") else left)
        for job in jobs[:_NEXT]
    ]  # fmt: skip
    name = "NEXT UP" if len(jobs) <= _NEXT else f"NEXT UP ({_NEXT} of {len(jobs)})"
    return Grid((name, "AT", "IN"), cells, {0: 12})


def _recent(rows: Sequence[Report], context: ViewContext) -> RenderableType:
    if not rows:
        return Text("No runs so far.")
    cells = [
        (plain(row["run_id"]), status_text(row["status"]), started(row, context) or f"slot {slot_of(row, context)}")
        for row in rows
    ]
    return Grid(("LAST RUNS", "STATUS", "STARTED"), cells, {}, movable=2)
