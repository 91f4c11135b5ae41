"""The table `jobs`: definitions as synced, and cursors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, cast

from core.clock import from_text, utc_text
from core.errors import DefinitionUnreadable, JobNotFound
from core.job import SCHEDULER_ID, Job, JobState
from core.run import Missed
from db import Database, Row
from store.job_codec import as_dict, job_from_json
from store.ledger import write_off


@dataclass(frozen=True)
class Zone:
    """The zone of a job: an IANA name, and where it comes from: `job`, `setting` or `machine`."""

    name: str
    source: str


#: The reason of a pause that `pause-job` made without an end.
BY_HAND = "pause-job"


class Pause(TypedDict):
    """Since when, until when and why a job is paused. Instants are UTC text; null where nobody knows or has said."""

    since: str | None
    until: str | None
    reason: str


class JobRow(TypedDict):
    """A job as `status` and `list` print it: the columns of `jobs`, with its fields and its problem as objects.

    Instants are UTC text. `problem` is the error of the last tick or null. Source: docs/contract.md "SQLite".
    """

    job_id: str
    enabled: bool
    puruto_target: str
    schedule: str
    prompt: str
    notify_channel: str
    timeout_sec: int
    max_retries: int
    retry_backoff_sec: int
    next_run_at: str | None
    last_run_at: str | None
    lease_owner: str | None
    lease_expires_at: str | None
    timezone: str
    timezone_source: str
    anchor_at: str
    updated_at: str
    consecutive_failures: int
    paused_at: str | None
    pruned_through: str | None
    problem: Mapping[str, object] | None
    definition: Mapping[str, object]
    paused: Pause | None


@dataclass(frozen=True)
class Change:
    """One new or changed job of a sync.

    `expected_cursor` is the cursor as it was read; `skipped` are the due slots of `old` that are dropped. With
    `stays_paused` a pause is kept; else it ends, and its count of failures is reset.
    """

    job: Job
    definition_json: str
    zone: Zone
    anchor: datetime
    next_run_at: datetime | None
    expected_cursor: str | None = None
    old: Job | None = None
    skipped: Missed | None = None
    stays_paused: bool = False


@dataclass(frozen=True)
class Removal:
    """A job that is no longer in the file. `old` is None if its stored definition can't be read."""

    job_id: str
    expected_cursor: str | None
    old: Job | None = None
    skipped: Missed | None = None


@dataclass(frozen=True)
class Rename:
    """A job that has another name now. `definition_json` has the new name; `expected_cursor` is as it was read."""

    old: str
    new: str
    expected_cursor: str | None
    definition_json: str


class Definitions:
    """Rows of `jobs`: what a job is, and when it is due."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def active(self) -> list[Row]:
        """The columns that a sync and a clock correction need, for all jobs in the file, ordered by job_id."""
        return self._db.rows(
            "SELECT job_id, definition_json, timezone, timezone_source, anchor_at, next_run_at, enabled, paused_at,"
            " last_run_at FROM jobs WHERE removed_at IS NULL ORDER BY job_id"
        )

    def load(self, job_id: str) -> JobState | None:
        """A job that is in the file; None if there is none. Raises `DefinitionUnreadable`."""
        row = self._db.row("SELECT * FROM jobs WHERE job_id = ? AND removed_at IS NULL", (job_id,))
        return None if row is None else job_state(row)

    def count(self) -> int:
        """How many jobs are in the file, as it was synced last."""
        row = self._db.row("SELECT count(*) FROM jobs WHERE removed_at IS NULL")
        return 0 if row is None else int(row[0])

    def is_active(self, job_id: str) -> bool:
        """Whether a job of this name is in the file, as it was synced last."""
        return self._db.row("SELECT 1 FROM jobs WHERE job_id = ? AND removed_at IS NULL", (job_id,)) is not None

    def ever_existed(self, job_id: str) -> bool:
        """Whether a job of this name is or was in the file."""
        return self._db.row("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)) is not None

    def require_known(self, job_id: str | None) -> None:
        """Raises `JobNotFound` if no job of this name is or once was in the file.

        None stands for all jobs, and `SCHEDULER_ID` for the scheduler itself.
        """
        if job_id not in (None, SCHEDULER_ID) and not self.ever_existed(str(job_id)):
            raise JobNotFound(
                f"There is no job {job_id}, and there never was",
                hint="See the names: python3 main.py list",
                details={"job_id": job_id},
            )

    def end_pause(self, job_id: str, next_run_at: datetime | None) -> bool:
        """Ends the pause of a job and resets its count of failures. False if it was not paused."""
        changed = self._db.run(
            "UPDATE jobs SET paused_at = NULL, consecutive_failures = 0, enabled = 1, next_run_at = ?"
            " WHERE job_id = ? AND paused_at IS NOT NULL AND removed_at IS NULL",
            (text_or_null(next_run_at), job_id),
        )
        return changed == 1

    def failures(self, job_id: str) -> int:
        """The number of failed runs since the job's last success."""
        row = self._db.row("SELECT consecutive_failures FROM jobs WHERE job_id = ?", (job_id,))
        return 0 if row is None else int(row["consecutive_failures"])

    def due(self, now: datetime) -> list[tuple[str, str]]:
        """`(next_run_at, job_id)` of the due jobs, the oldest first."""
        rows = self._db.rows(
            "SELECT next_run_at, job_id FROM jobs WHERE enabled = 1 AND next_run_at <= ? ORDER BY next_run_at, job_id",
            (utc_text(now),),
        )
        return [(row["next_run_at"], row["job_id"]) for row in rows]

    def next_due(self, after: datetime) -> datetime | None:
        """The earliest cursor of an enabled job after this instant; None if there is none."""
        row = self._db.row(
            "SELECT next_run_at FROM jobs WHERE enabled = 1 AND next_run_at > ? ORDER BY next_run_at LIMIT 1",
            (utc_text(after),),
        )
        return None if row is None else from_text(row[0])

    def due_cursor(self, job_id: str, now: datetime) -> str | None:
        """The cursor of a job, as UTC text, if the job is enabled and due; else None."""
        row = self._db.row(
            "SELECT next_run_at FROM jobs WHERE job_id = ? AND enabled = 1 AND next_run_at <= ?",
            (job_id, utc_text(now)),
        )
        return None if row is None else str(row[0])

    def table(self, now: datetime) -> list[JobRow]:
        """All jobs in the file, for people, by name."""
        rows = self._db.rows("SELECT * FROM jobs WHERE removed_at IS NULL ORDER BY job_id")
        by_hand = self._paused_by_hand()
        return [_for_people(row, now, by_hand) for row in rows]

    def doubtful_schedules(self) -> list[tuple[str, str]]:
        """`(job_id, schedule)` of the enabled jobs with an interval or a step, by name."""
        rows = self._db.rows(
            "SELECT job_id, schedule FROM jobs WHERE enabled = 1"
            " AND (schedule LIKE '%@every%' OR schedule LIKE '%/%') ORDER BY job_id"
        )
        return [(str(row["job_id"]), str(row["schedule"])) for row in rows]

    def doubtful_commands(self) -> list[Job]:
        """The jobs in the file whose program has a blank in its name, by name; without what can't be read."""
        rows = self._db.rows(
            "SELECT definition_json FROM jobs WHERE removed_at IS NULL AND json_valid(definition_json)"
            " AND json_extract(definition_json, '$.command[0]') GLOB '*[' || char(9, 10, 13, 32) || ']*'"
            " ORDER BY job_id"
        )
        found = []
        for row in rows:
            with suppress(DefinitionUnreadable):
                found.append(job_from_json(row["definition_json"]))
        return found

    def pause(self, job_id: str, now: datetime) -> Pause | None:
        """Since when, until when and why a job in the file is paused; None if it is not."""
        row = self._db.row("SELECT * FROM jobs WHERE job_id = ? AND removed_at IS NULL", (job_id,))
        return None if row is None else _for_people(row, now, self._paused_by_hand())["paused"]

    def note_pause_by_hand(self, job_id: str, since: datetime | None) -> None:
        """Stores that somebody has paused the job: it is disabled, but not meant to stay so. None forgets it."""
        self._db.run("DELETE FROM state WHERE key = ?", (_BY_HAND + job_id,))
        if since is not None:
            self._db.run("INSERT INTO state (key, value) VALUES (?, ?)", (_BY_HAND + job_id, utc_text(since)))

    def _paused_by_hand(self) -> dict[str, str]:
        rows = self._db.rows("SELECT key, value FROM state WHERE key >= ? AND key < ?", (_BY_HAND, _BY_HAND + "\x7f"))
        return {str(row["key"]).removeprefix(_BY_HAND): str(row["value"]) for row in rows}

    def page(self, after: str, limit: int, now: datetime) -> list[JobRow]:
        """The first `limit` rows of `table` whose names sort after `after`, which need not exist. -1 means all."""
        rows = self._db.rows(
            "SELECT * FROM jobs WHERE removed_at IS NULL AND job_id > ? ORDER BY job_id LIMIT ?", (after, limit)
        )
        by_hand = self._paused_by_hand()
        return [_for_people(row, now, by_hand) for row in rows]

    def paused(self, job_ids: Iterable[str]) -> list[tuple[str, str]]:
        """`(job_id, paused_at)` of those of these jobs that are in the file and paused, by name."""
        paused = []
        for job_id in sorted(job_ids):
            row = self._db.row("SELECT paused_at FROM jobs WHERE job_id = ? AND removed_at IS NULL", (job_id,))
            if row is not None and row["paused_at"] is not None:
                paused.append((job_id, str(row["paused_at"])))
        return paused

    def set_problem(self, job_id: str, problem: Mapping[str, object]) -> None:
        """Records why a job could not be planned or run. Its cursor stays, so the next tick tries again."""
        self._db.run(
            "UPDATE jobs SET problem_json = ? WHERE job_id = ?", (json.dumps(problem, ensure_ascii=False), job_id)
        )

    def clear_lease(self, job_id: str) -> bool:
        """Clears the lease of a job that has no running run. Returns whether there was one."""
        changed = self._db.run(
            "UPDATE jobs SET lease_owner = NULL, lease_expires_at = NULL WHERE job_id = ? AND lease_owner IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.job_id = jobs.job_id AND status = 'running')",
            (job_id,),
        )
        return changed == 1

    def move_cursor(self, state: JobState, to: datetime | None) -> bool:
        """Sets the cursor of a job if it is unchanged since `state` was read; else returns False."""
        return (
            self._db.run(
                "UPDATE jobs SET next_run_at = ? WHERE job_id = ? AND next_run_at IS ?",
                (text_or_null(to), state.job.job_id, text_or_null(state.next_run_at)),
            )
            == 1
        )

    def correct_future_rows(self, now: datetime, *, trusted: bool) -> None:
        """Corrects what was written about future slots while the clock was ahead: missed slots, and `pruned_through`.

        The row of a gap after `now` is kept but covers no slots any more, so its slots will run. `pruned_through` is
        corrected only if the clock is `trusted`; else a slot whose row was deleted could start twice.
        """
        with self._db.transaction("clock_correction"):
            self._db.run(
                "UPDATE runs SET scheduled_for = NULL, slots = 0 WHERE status = 'missed' AND scheduled_for > ?"
                " AND json_extract(error_json, '$.details.first_slot') > ?",
                (utc_text(now), utc_text(now)),
            )
            if trusted:
                self._db.run("UPDATE jobs SET pruned_through = ? WHERE pruned_through > ?", (utc_text(now),) * 2)

    def has_history(self, job_id: str) -> bool:
        """Whether something is stored about a job of this name: that it has run, or what it has told, spent or kept."""
        row = self._db.row(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE job_id = ?1 AND (last_run_at IS NOT NULL OR pruned_through"
            " IS NOT NULL)) OR EXISTS (SELECT 1 FROM runs WHERE job_id = ?1)"
            " OR EXISTS (SELECT 1 FROM events WHERE job_id = ?1) OR EXISTS (SELECT 1 FROM sessions WHERE job_id = ?1)"
            " OR EXISTS (SELECT 1 FROM spending WHERE job_id = ?1)",
            (job_id,),
        )
        return row is not None and bool(row[0])

    def apply(
        self, changes: Sequence[Change], removals: Sequence[Removal], now: datetime, renames: Sequence[Rename] = ()
    ) -> bool:
        """Writes a sync in the caller's transaction, the `renames` first: the changes have the new names.

        False if a cursor has moved: the caller rolls back and retries.
        """
        for rename in renames:
            if not self._rename(rename, now):
                return False
        for change in changes:
            if not self._upsert(change, now):
                return False
            if change.job.enabled and change.old is not None and not change.old.enabled:
                self.note_pause_by_hand(change.job.job_id, None)
            if change.old is not None and change.skipped is not None:
                write_off(self._db, change.old, change.skipped, now, status="skipped", code="JOB_CHANGED")
        for removal in removals:
            if not self._remove(removal, now):
                return False
            if removal.old is not None and removal.skipped is not None:
                write_off(self._db, removal.old, removal.skipped, now, status="skipped", code="JOB_REMOVED")
        return True

    def _rename(self, rename: Rename, now: datetime) -> bool:
        """Gives a job another name, with all that is stored about it. What events say of the past stays as it was."""
        taken = self._db.row("SELECT removed_at FROM jobs WHERE job_id = ?", (rename.new,))
        if taken is not None:
            if taken["removed_at"] is None or self.has_history(rename.new):
                return False
            # A job that was removed before it ever ran.
            self._db.run("DELETE FROM jobs WHERE job_id = ?", (rename.new,))
        renamed = self._db.run(
            "UPDATE jobs SET job_id = ?, definition_json = ?, updated_at = ?"
            " WHERE job_id = ? AND removed_at IS NULL AND next_run_at IS ?",
            (rename.new, rename.definition_json, utc_text(now), rename.old, rename.expected_cursor),
        )
        if renamed != 1:
            return False
        self._db.run(
            "UPDATE OR REPLACE state SET key = ? WHERE key = ?", (_BY_HAND + rename.new, _BY_HAND + rename.old)
        )
        self._note_rename(rename.old, rename.new)
        for table in _TABLES_OF_JOBS:
            self._db.run(f"UPDATE {table} SET job_id = ? WHERE job_id = ?", (rename.new, rename.old))  # noqa: S608 - fixed names
        return True

    def _note_rename(self, old: str, new: str) -> None:
        """Stores that a job has another name now. All the names that it had before lead to the new one."""
        self._db.run("DELETE FROM state WHERE key = ?", (_RENAMED + new,))
        self._db.run(
            "UPDATE state SET value = ? WHERE key >= ? AND key < ? AND value = ?",
            (new, _RENAMED, _RENAMED + "\x7f", old),
        )
        self._db.run("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (_RENAMED + old, new))

    def new_name(self, job_id: str) -> str:
        """What a job is called now that was called so once; "" for every other name."""
        row = self._db.row("SELECT value FROM state WHERE key = ?", (_RENAMED + job_id,))
        return "" if row is None or self.ever_existed(job_id) else str(row["value"])

    def _remove(self, removal: Removal, now: datetime) -> bool:
        return (
            self._db.run(
                "UPDATE jobs SET enabled = 0, next_run_at = NULL, removed_at = ?, updated_at = ?"
                " WHERE job_id = ? AND removed_at IS NULL AND next_run_at IS ?",
                (utc_text(now), utc_text(now), removal.job_id, removal.expected_cursor),
            )
            == 1
        )

    def _upsert(self, change: Change, now: datetime) -> bool:
        job = change.job
        values = (
            int(job.enabled and not change.stays_paused),
            job.puruto_target,
            job.schedule,
            job.prompt,
            job.notify_channel,
            job.timeout_sec,
            job.max_retries,
            job.retry_backoff_sec,
            text_or_null(change.next_run_at),
            change.zone.name,
            change.zone.source,
            utc_text(change.anchor),
            change.definition_json,
            utc_text(now),
            job.job_id,
        )
        updated = self._db.run(
            "UPDATE jobs SET enabled = ?, puruto_target = ?, schedule = ?, prompt = ?, notify_channel = ?,"
            " timeout_sec = ?, max_retries = ?, retry_backoff_sec = ?, next_run_at = ?, timezone = ?,"
            " timezone_source = ?, anchor_at = ?, definition_json = ?, updated_at = ?, removed_at = NULL,"
            " problem_json = NULL, paused_at = CASE WHEN ? THEN paused_at END,"
            " consecutive_failures = CASE WHEN ? OR paused_at IS NULL THEN consecutive_failures ELSE 0 END"
            " WHERE job_id = ? AND next_run_at IS ?",
            (*values[:-1], change.stays_paused, change.stays_paused, job.job_id, change.expected_cursor),
        )
        if updated == 1:
            return True
        return self._db.insert_new(
            "INSERT INTO jobs (enabled, puruto_target, schedule, prompt, notify_channel, timeout_sec, max_retries,"
            " retry_backoff_sec, next_run_at, timezone, timezone_source, anchor_at, definition_json,"
            " updated_at, job_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )


#: Keys of `state` begin with this where `pause-job` has disabled the job that follows; the value is since when.
_BY_HAND = "paused:"
#: Keys of `state` begin with this where the name that follows was that of a job which has another one now, the value.
_RENAMED = "renamed:"
#: The tables besides `jobs` whose rows belong to a job.
_TABLES_OF_JOBS = ("runs", "events", "sessions", "spending", "refusals_reported")
#: The columns of `jobs` from which a `JobState` is read.
STATE_COLUMNS = ("definition_json", "timezone", "anchor_at", "next_run_at", "enabled")


def job_state(row: Row) -> JobState:
    """A row of `jobs` as a `JobState`. Raises `DefinitionUnreadable`."""
    cursor = row["next_run_at"]
    try:
        return JobState(
            job=job_from_json(row["definition_json"]),
            timezone=row["timezone"],
            anchor=from_text(row["anchor_at"]),
            next_run_at=None if cursor is None else from_text(cursor),
            enabled=bool(row["enabled"]),
            stored=tuple(row[name] for name in STATE_COLUMNS),
        )
    except (DefinitionUnreadable, ValueError) as error:
        raise DefinitionUnreadable(
            f"The stored job {row['job_id']} can't be read: {error}",
            hint="Its row was changed by hand. Change its entry in .jobs.json, then: python3 main.py sync-jobs",
            details={"job_id": row["job_id"]},
        ) from error


def _for_people(row: Row, now: datetime, by_hand: Mapping[str, str]) -> JobRow:
    shown: dict[str, object] = dict(row)
    shown["enabled"] = bool(row["enabled"])
    problem = shown.pop("problem_json")
    shown["problem"] = json.loads(problem) if isinstance(problem, str) else None
    definition = shown.pop("definition_json")
    try:
        shown["definition"] = as_dict(job_from_json(str(definition)))
    except DefinitionUnreadable as error:
        shown["definition"], shown["problem"] = {}, error.as_dict()
    del shown["removed_at"]
    shown["paused"] = _pause(shown, now, by_hand)
    return cast("JobRow", shown)


def _pause(shown: dict[str, object], now: datetime, by_hand: Mapping[str, str]) -> Pause | None:
    """Since when, until when and why a job is paused; None if it is not."""
    if shown["paused_at"] is not None:
        reason = f"its last {shown['consecutive_failures']} runs failed"
        return {"since": str(shown["paused_at"]), "until": None, "reason": reason}
    definition = cast("Mapping[str, object]", shown["definition"])
    if definition.get("enabled") is False:
        since = by_hand.get(str(shown["job_id"]))
        return None if since is None else {"since": since, "until": None, "reason": BY_HAND}
    until = paused_until(definition.get("paused_until"), now)
    return None if until is None else {"since": None, "until": utc_text(until), "reason": "paused_until"}


def paused_until(text: object, now: datetime) -> datetime | None:
    """The end of a pause that is written as `paused_until`, if it is still ahead; else None."""
    try:
        until = from_text(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None
    return until if until is not None and until > now else None


def text_or_null(instant: datetime | None) -> str | None:
    """An instant as it is stored; None is null."""
    return None if instant is None else utc_text(instant)


def no_such_job(job_id: str) -> JobNotFound:
    """The error about a job that can't be run, because no such job was synced."""
    return JobNotFound(
        f"There is no job {job_id}",
        hint="See the names: python3 main.py list. A job new in .jobs.json needs sync-jobs.",
        details={"job_id": job_id},
    )
