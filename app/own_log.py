"""Where this program's log is, from which level on it is written, and what is masked in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.errors import CronError
from core.log import ERROR, FILE, LEVELS, Log

if TYPE_CHECKING:
    from app.app import App
    from config.settings import Settings
    from core.job import Job

    Mask = Callable[[str], str]

#: Jobs of whose masks one is kept: a run has several lines, and making it takes a millisecond.
_MOST_KEPT = 100


def own_log(app: App, *, level: str = "warning") -> Log:
    """The log of `app`, by its settings; `level` counts when they name none.

    More is masked than in results: also what `.env` holds for jobs, and a job's `env`, whatever the names are, as long
    as it may be a secret at all.
    """
    from core.redact import Redactor, is_plain, secrets_of

    try:
        settings = app.settings
        known = app.redactor(None)
    except CronError:
        # Nobody can say where the database is, nor what is secret in .env.
        return Log(None, ERROR, app.clock.now, lambda _job: Redactor(secrets_of(app.environ, ())).text)
    wide = Redactor(value for value in _private(settings) if not is_plain(value))
    kept: dict[str, tuple[Job, Mask]] = {}

    def of_job(job: Job) -> Mask:
        seen, own = app.redactor(job), Redactor(value for value in job.env.values() if not is_plain(value))
        return lambda text: own.text(wide.text(seen.text(text)))

    def mask_of(job: Job | None) -> Mask:
        if job is None or not (job.env or job.allow_env):
            return lambda text: wide.text(known.text(text))
        if job.job_id not in kept or kept[job.job_id][0] is not job:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[job.job_id] = (job, of_job(job))
        return kept[job.job_id][1]

    path = str(settings.db_path.parent / FILE)
    return Log(path, LEVELS[settings.log_level or level], app.clock.now, mask_of)


def _private(settings: Settings) -> list[str]:
    """What `.env` holds for jobs; and of the ping's address, any part of which may be its secret, the parts."""
    from urllib.parse import urlsplit

    address = urlsplit(settings.ping_url or "")
    return [*(settings.variables[name] for name in settings.private), address.path.strip("/"), address.query]
