"""Checks of the settings. Each wrong one is reported; where it is safe, a default replaces it for the other checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.settings import VARIABLES
from core.errors import SettingsError
from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene

SUBJECT = "settings"
#: Values that replace wrong ones, by kind. A path has none: checks of another database would be meaningless.
_STAND_INS = {"text": "UTC", "level": "warning", "url": "http://localhost/", "names": "nothing", "folders": "/"}


def faults(failure: SettingsError) -> list[Finding]:
    """A finding for each fault in the settings."""
    problems = _problems(failure)
    if not problems:
        return [error(failure.code, SUBJECT, failure.message, failure.hint or "Correct it.")]
    return [
        error(failure.code, SUBJECT, str(problem.get("message")), f"{problem.get('hint') or 'Correct it.'}")
        for problem in problems
    ]


def stand_ins(failure: SettingsError) -> dict[str, str] | None:
    """Values for the wrong variables with which the other checks can be made; None if a path or `.env` is wrong."""
    names = [problem.get("variable") for problem in _problems(failure)] or ["PURUTO_CRON_TIMEZONE"]
    variables = {variable.name: variable for variable in VARIABLES}
    values: dict[str, str] = {}
    for name in names:
        variable = variables.get(str(name))
        if variable is None or variable.kind in ("path", "inside"):
            return None
        values[variable.name] = _STAND_INS.get(variable.kind) or variable.default
    return values


def check(scene: Scene) -> Iterator[Finding]:
    """Warnings about settings that are valid but odd."""
    settings = scene.need_settings
    for problem in settings.warnings:
        fix = str(problem.get("hint") or "Correct it.")
        yield warning(str(problem["code"]), SUBJECT, str(problem["message"]), fix)
    where = f"the environment and {settings.env_file}" if settings.env_file else "the environment; there is no .env"
    yield fine(SUBJECT, f"Read from {where}")


def _problems(failure: SettingsError) -> list[Mapping[str, object]]:
    problems = failure.details.get("problems")
    return [problem for problem in problems if isinstance(problem, dict)] if isinstance(problems, list) else []
