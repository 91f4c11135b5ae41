"""Errors about a job that was given by options: they name the option, not a place in .jobs.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from core.errors import CronError, JobsFileInvalid

_PLACE = re.compile(r"jobs\[\d+\](?:\.(?P<field>[A-Za-z_][A-Za-z0-9_]*))?(?P<rest>.*)", re.DOTALL)


def naming_options(
    given: Collection[str], source: str | None, *, name: str = "JOB_ID", removes: bool = False
) -> Callable[[JobsFileInvalid], CronError]:
    """A function that turns the error of a file with the edited job into one that names what was given.

    `given` are the fields that were given as options, `source` is the value of --from-json, `name` is the argument with
    the job's name. If the command `removes` fields, that is the hint for one that is empty.
    """

    def explained(error: JobsFileInvalid) -> CronError:
        listed = cast("list[Mapping[str, Any]]", error.details.get("problems") or [])
        problems = [_explained(problem, given, source, name, removes=removes) for problem in listed]
        if not problems:
            return error
        count = int(cast("int", error.details["problem_count"]))
        many = f"{count} faults; the first: " if count > 1 else ""
        message = f"{many}{problems[0]['option']} {problems[0]['message']}"
        details: dict[str, object] = {"problem_count": count, "problems": problems}
        return JobsFileInvalid(message, hint=str(problems[0].get("hint", "")), details=details)

    return explained


def _explained(
    problem: Mapping[str, Any], given: Collection[str], source: str | None, name: str, *, removes: bool
) -> dict[str, Any]:
    match = _PLACE.fullmatch(str(problem["path"]))
    field, rest = (match["field"] or "", match["rest"]) if match else ("", str(problem["path"]))
    option = flag = f"--{field.replace('_', '-')}"
    if field == "job_id":
        option = name
    elif field not in given and problem["code"] != "MISSING_FIELD":
        option = f"--from-json: {field or 'the job'}" if source else f"the job's field {field}"
    hint = f"add {flag}" if problem["code"] == "MISSING_FIELD" else problem.get("hint")
    if problem["code"] == "EMPTY" and field in given and removes:
        hint = f"{hint or 'to remove it'}: --unset {field}"
    if problem["code"] == "BAD_INSTANT" and field == "paused_until" and removes:
        hint = f"{hint}; `python3 main.py pause-job {problem.get('job_id')} --until` takes words such as tomorrow"
    advice = {"hint": hint} if hint else {}
    return {**problem, "path": f"{field}{rest}", "option": f"{option}{rest}", **advice}
