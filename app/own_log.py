"""Sets up the program's log: its file, its level, and what is masked in it."""

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

#: Most jobs whose masks are cached: a run writes several lines, and making a mask takes a millisecond.
_MOST_CACHED = 100


def own_log(app: App, *, level: str = "warning") -> Log:
    """The log of `app`. `level` is used if PURUTO_CRON_LOG is not set.

    More is masked than in results: also the values that `.env` holds for jobs, and those of a job's `env`, whatever
    their names, unless they are too plain to be secrets.
    """
    from core.redact import Redactor, is_plain, secrets_of

    try:
        settings = app.settings
        redactor = app.redactor(None)
    except CronError:
        # The settings are wrong, so the database's folder and the secrets in .env are unknown.
        return Log(None, ERROR, app.clock.now, lambda _job: Redactor(secrets_of(app.environ, ())).text)
    env_file = Redactor(value for value in _private(settings) if not is_plain(value))
    masks: dict[str, tuple[Job, Mask]] = {}

    def of_job(job: Job) -> Mask:
        of_run, job_env = app.redactor(job), Redactor(value for value in job.env.values() if not is_plain(value))
        return lambda text: job_env.text(env_file.text(of_run.text(text)))

    def mask_of(job: Job | None) -> Mask:
        if job is None or not (job.env or job.allow_env):
            return lambda text: env_file.text(redactor.text(text))
        if job.job_id not in masks or masks[job.job_id][0] is not job:
            if len(masks) >= _MOST_CACHED:
                masks.clear()
            masks[job.job_id] = (job, of_job(job))
        return masks[job.job_id][1]

    path = str(settings.db_path.parent / FILE)
    return Log(path, LEVELS[settings.log_level or level], app.clock.now, mask_of)


def _private(settings: Settings) -> list[str]:
    """The values that `.env` holds for jobs, and the parts of the ping's address, any of which may be its secret."""
    from urllib.parse import urlsplit

    address = urlsplit(settings.ping_url or "")
    return [*(settings.variables[name] for name in settings.private), address.path.strip("/"), address.query]
