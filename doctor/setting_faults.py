"""Wrong settings: each is said, and as far as it is safe the examination goes on with a default in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.settings import VARIABLES
from core.errors import SettingsError
from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene

SUBJECT = "settings"
#: What stands in for a wrong value. There is nothing for a path: another database than the meant one says nothing.
_STAND_INS = {"text": "UTC", "level": "warning", "url": "http://localhost/", "names": "nothing", "folders": "/"}


def faults(wrong: SettingsError) -> list[Finding]:
    """One finding for each fault."""
    problems = _problems(wrong)
    if not problems:
        return [error(wrong.code, SUBJECT, wrong.message, wrong.hint or "Correct it.")]
    return [
        error(wrong.code, SUBJECT, str(problem.get("message")), f"{problem.get('hint') or 'Correct it.'}")
        for problem in problems
    ]


def stand_ins(wrong: SettingsError) -> dict[str, str] | None:
    """Variables that make the settings good enough to look at all else; None when a path or `.env` itself is wrong."""
    named = [problem.get("variable") for problem in _problems(wrong)] or ["PURUTO_CRON_TIMEZONE"]
    known = {variable.name: variable for variable in VARIABLES}
    found: dict[str, str] = {}
    for name in named:
        variable = known.get(str(name))
        if variable is None or variable.kind in ("path", "inside"):
            return None
        found[variable.name] = _STAND_INS.get(variable.kind) or variable.default
    return found


def check(scene: Scene) -> Iterator[Finding]:
    """What is odd in settings that can be used."""
    settings = scene.need_settings
    for problem in settings.warnings:
        fix = str(problem.get("hint") or "Correct it.")
        yield warning(str(problem["code"]), SUBJECT, str(problem["message"]), fix)
    where = f"the environment and {settings.env_file}" if settings.env_file else "the environment; there is no .env"
    yield fine(SUBJECT, f"Read from {where}")


def _problems(wrong: SettingsError) -> list[Mapping[str, object]]:
    problems = wrong.details.get("problems")
    return [problem for problem in problems if isinstance(problem, dict)] if isinstance(problems, list) else []
