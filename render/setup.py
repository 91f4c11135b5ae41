"""The views of what is installed once: `init-db`, `install-*`, `import-crontab` and `prune`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from render.console import Report, ViewContext
from render.grid import Grid
from render.hanging import Hanging
from render.parts import copied, facts, first_step, note, path, step, together
from render.whole import pasted
from render.words import advised, counted, one_line, plain, size, verbatim, when

_PC = "python3 main.py"


def database(report: Report, _context: ViewContext) -> RenderableType:
    """The view of `init-db`."""
    what = "Made the database" if report["created"] else "The database is there and sound:"
    after = step(f"{_PC} status") if report["jobs"] and not report["jobs_to_load"] else first_step(report)
    return together(copied(f"{what} {pasted(report['database'])}"), after)


def installed(report: Report, _context: ViewContext) -> RenderableType:
    """The view of `install-crontab`."""
    replaced = [copied(f"Removed the block of {block['root']}.") for block in report["replaced"]]
    if not report["changed"]:
        return together(Text("Nothing changed: your crontab has the block."), step(f"{_PC} doctor"))
    lines = [Text(f"  {verbatim(line)}", overflow="ignore", no_wrap=True) for line in report["lines"]]
    return together(Text("Your crontab now has this block:"), lines, replaced, step(f"{_PC} doctor"))


def uninstalled(report: Report, _context: ViewContext) -> RenderableType:
    """The view of `uninstall-crontab`."""
    text = (
        "Removed the block from your crontab." if report["changed"] else "Nothing changed: your crontab has no block."
    )
    if not report["own_lines"]:
        return together(Text(f"{text} None of its lines starts a tick now."), step(f"{_PC} status"))
    own = [Hanging(Text("  "), copied(line), wraps=False) for line in report["own_lines"]]
    return together(Text(f"{text} A line of your own still starts the tick:"), own, step("crontab -e"))


def crontab(report: Report, _context: ViewContext) -> str:
    """A crontab as it can be given to `crontab -`: warnings are comments."""
    warnings = [f"# warning: {plain(advised(entry), 1_000)}" for entry in report.get("warnings") or ()]
    return "\n".join([verbatim(report["crontab"]), *warnings])


def units(report: Report, _context: ViewContext) -> str:
    """The texts of systemd units, each under the path of its file; below, as comments, what starts and removes them."""
    texts = [f"# {plain(path, 4_096)}\n{verbatim(text)}".rstrip("\n") for path, text in report["units"].items()]
    for title, commands in (("When they are written", report["then"]), ("To remove them", report["undo"])):
        texts.append("\n".join([f"# {title}:", *(f"#   {_command(text)}" for text in commands)]))
    return "\n\n".join(texts)


def units_written(report: Report, _context: ViewContext) -> RenderableType:
    """The view of `install-systemd`."""
    paths = [Hanging(Text("  "), path(unit), wraps=False) for unit in report["units"]]
    undo = step(*map(_command, report["undo"]), label="To undo")
    return together(Text(f"Wrote {counted(len(paths), 'unit')}:"), paths, step(*map(_command, report["then"])), undo)


def _command(text: str) -> str:
    return plain(text, 8_192)


# --- import-crontab ---


def imported(report: Report, context: ViewContext) -> RenderableType:
    """The view of `import-crontab`: which lines became jobs, with notes, and which did not, with the reason."""
    made, there, refused = (report[name] for name in ("imported", "already_there", "not_imported"))
    verb = "would become" if report["dry_run"] else "became"
    source = "standard input" if report["source"] == "-" else one_line(report["source"])
    parts: list[RenderableType] = [
        Text(f"{counted(len(made), 'line')} of {source} {verb} {counted(len(made), 'job')}.")
    ]
    if made:
        cells = [
            (str(line["line"]), plain(line["job_id"]), _schedule(line, context), _first(line, context)) for line in made
        ]
        parts += [Text(), Grid(("LINE>", "JOB", "SCHEDULE", "NEXT"), cells, {2: 12, 1: 12}, movable=2)]
    remarks = [(line["line"], text) for line in made for text in line["notes"]]
    remarks += [(line["line"], f"is already the job {line['job_id']}") for line in there]
    if remarks:
        parts.append(Text())
        parts += [Hanging(Text(f"  line {number}: ", "dim"), Text(plain(text, 500))) for number, text in remarks]
    if refused:
        parts += [Text(), Text(f"{counted(len(refused), 'line')} can't be a job:", "bold"), *refusals(refused)]
    left = [entry for entry in report["variables"] if entry["use"] == "not_taken_over"]
    if left:
        parts += [Text(), Text("Variables without effect on the jobs:", "bold")]
        parts += [
            Hanging(Text(f"  {plain(entry['name'])}: ", "dim"), Text(plain(entry["note"], 500))) for entry in left
        ]
    return together(*parts, step(*_after(report)))


def refusals(lines: Sequence[Report]) -> list[RenderableType]:
    """Each line that can't be a job, why, and what to do."""
    parts: list[RenderableType] = []
    for line in lines:
        parts.append(Text(f"  {line['line']}: {plain(line['text'])}", no_wrap=True, overflow="ellipsis"))
        parts.append(Hanging(Text("     "), Text(f"{plain(line['reason'], 500)} [{plain(line['code'])}]")))
        if line.get("hint"):
            parts.append(Hanging(Text("     fix: ", "bold"), Text(plain(line["hint"], 500))))
    return parts


def _after(report: Report) -> list[str]:
    if report["dry_run"] and report["imported"]:
        return ["the same command without --dry-run"]
    return [f"{_PC} list"]


def _schedule(line: Report, context: ViewContext) -> str:
    zone = (line["next"] or {}).get("timezone")
    return f"{plain(line['entry']['schedule'])}{f' ({plain(zone)})' if zone and zone != context.zone else ''}"


def _first(line: Report, context: ViewContext) -> str:
    planned = line["next"] or {}
    instants = planned.get("instants") or ()
    return when(instants[0]["utc"], context.now, str(planned.get("timezone") or context.zone)) if instants else "never"


# --- prune ---


def pruned(report: Report, context: ViewContext) -> RenderableType:
    """The view of `prune`."""
    outputs = counted(report["outputs"], "run")
    counts = [
        counted(report["runs"], "run") if report["runs"] else "",
        counted(report["events"], "event") if report["events"] else "",
        f"the output of {outputs} ({size(report['output_bytes'])})" if report["outputs"] else "",
        counted(len(report["event_files"]), "event file") if report["event_files"] else "",
        counted(len(report["unknown_folders"]), "unknown folder") if report["unknown_folders"] else "",
    ]  # fmt: skip
    what = ", ".join(filter(None, counts)) or "nothing"
    verb = "Would delete" if report["dry_run"] else "Deleted"
    limits = report["limits"]
    kept = (
        f"the last {limits['keep_runs']:,} runs of a job, {limits['keep_days']} days, {limits['keep_output_mb']:,} MB"
    )
    parts: list[RenderableType] = [Text(f"{verb} {what}."), *facts([("kept", kept)])]
    parts += [note(text, context) for text in report["failures"]]
    return together(
        *parts, step("the same command without --dry-run") if report["dry_run"] and what != "nothing" else []
    )
