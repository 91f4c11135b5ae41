"""Named points in the program where a crash would matter. Tests set `hook` to crash there. Imports nothing.

In the program `hook` is None, so a point costs one comparison. No environment variable can set it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Called with the name of each point that the program reaches.
hook: "Callable[[str], None] | None" = None

#: Every point, and the state that a crash there leaves. A transaction has two: before and after its commit.
POINTS = {
    "claim.before_commit": "a slot's row and the cursor are written, not committed",
    "claim.after_commit": "a slot is claimed, its run has not started",
    "manual_claim.before_commit": "a manual run is written, not committed",
    "manual_claim.after_commit": "a manual run is claimed, and has not started",
    "retry_claim.before_commit": "the retry of an interrupted run is written, not committed",
    "retry_claim.after_commit": "the retry is claimed, and has not started",
    "start.before": "the run's folder and request are written, no process is started",
    "start.after": "the process is started, and no row names it",
    "child.noted": "the row names the process",
    "renewal.before_commit": "a lease is renewed, not committed",
    "renewal.after_commit": "a lease is renewed",
    "attempt.ended": "the process has ended, the verdict is not stored",
    "spending.before_commit": "the usage of an agent's call is written, not committed",
    "spending.after_commit": "the usage is stored, and the run has no verdict",
    "backoff.begun": "the run waits for its next attempt, and has released its permit",
    "permit.before_commit": "the run has its permit again, not committed",
    "permit.after_commit": "the run has its permit again, the next attempt has not started",
    "verdict.before_commit": "the verdict and its event are written, not committed",
    "verdict.after_commit": "the verdict and its event are stored, the event is not delivered",
    "append.before": "the file of events is locked, nothing is appended",
    "append.half": "half of the bytes are appended",
    "append.after": "the events are appended and on disk, not marked as delivered",
    "delivered.before_commit": "events are marked as delivered, not committed",
    "delivered.after_commit": "events are delivered and marked as such",
    "settle.before_leftovers": "a dead run is found, its processes are alive",
    "settle.after_leftovers": "its processes are ended, its row still says running",
    "sync.before_commit": ".jobs.json, an event about a broken one, or this installation is written, not committed",
    "sync.after_commit": ".jobs.json, an event about a broken one, or this installation is stored",
    "migration.before_backup": "a database of an older schema is found",
    "migration.after_backup": "its copy is made, its schema is still the old one",
    "migration.before_commit": "the new schema is written, not committed",
    "migration.after_commit": "the new schema is stored",
    "clock_correction.before_commit": "rows that a clock wrote while it was ahead are corrected, not committed",
    "clock_correction.after_commit": "those rows are corrected, the cursors are not",
    "salvage.before_commit": "rows of a damaged database, or one that lost its log, are copied, not committed",
    "salvage.after_commit": "they are stored, and the successor has not replaced a damaged database",
    "forget_output.before_commit": "old output is deleted, and its rows still name it",
    "forget_output.after_commit": "old output is deleted, and no row names it",
    "prune.before_commit": "the output and the rows of old runs are deleted, not committed",
    "prune.after_commit": "old runs are deleted",
    "time.left": "the tick has recorded its time",
    "cancel.requested": "the cancellation of a run is requested, and nobody has seen the request",
}


def point(name: str) -> None:
    """Calls `hook` with the name of this point, if a test has set it."""
    if hook is not None:
        hook(name)
