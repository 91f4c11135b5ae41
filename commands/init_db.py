"""`init-db`."""

from __future__ import annotations

import click

from app.app import App
from commands.view import show, wants_text

#: Its group in `--help`, and its position in that group.
PLACE = ("Running", 10)


@click.command("init-db")
@click.pass_obj
def command(app: App) -> None:
    """Make the folders db/, notifications/ and runs/, private to you, and the database. If run again, nothing changes.

    Prints the path of the database, its schema version, and whether it was made now. The database of an older version
    is copied to <path>.v<version>.bak, and migrated.

    \b
    Example:
      python3 main.py init-db
      {"status": "ok", "database": "/home/me/purutos/puruto-cron/db/cron.db", "schema_version": 6, "created": true, …}
    """
    from core.errors import ConfigurationError
    from core.permissions import obstacle
    from core.private_files import make_private_folder, restrict_to_owner
    from db import SCHEMA_VERSION
    from store.creation import create

    settings = app.settings
    folders = [settings.local_events.parent, settings.runs_folder]
    for folder in folders:
        try:
            make_private_folder(str(folder))
            restrict_to_owner(str(folder))
        except OSError as error:
            found = obstacle(str(folder), write=True)
            reason = found.sentence if found is not None else error.strerror
            hint = found.hint if found is not None else "Let this user write there, or remove the file of that name."
            message = f"The folder {folder} can't be made: {reason}"
            raise ConfigurationError(message, hint=hint, details={"path": str(folder)}) from error
    db, created = create(str(settings.db_path))
    try:
        if settings.db_path.parent == settings.root / "db":
            # Another folder that DB_PATH names may hold other files too: it may be the user's home.
            restrict_to_owner(str(settings.db_path.parent))
        if not created:
            db.require_sound()
    finally:
        db.close()
    report: dict[str, object] = {
        "status": "ok",
        "database": str(settings.db_path),
        "schema_version": SCHEMA_VERSION,
        "created": created,
        "folders": [str(folder) for folder in (settings.db_path.parent, *folders)],
    }
    if wants_text(app):
        # For the next step.
        with app.session(read_only=True) as session:
            report["jobs"] = session.store.definitions.count()
            report["jobs_to_load"] = session.has_jobs_to_load()
    show(app, report, "init-db")
