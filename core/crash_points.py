"""Where a crash would matter: named points that tests reach by setting `hook`. A leaf: imports nothing.

In the program `hook` is None and a point costs one look at it. Nothing in the environment can set it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Called with the name of each point that is reached.
hook: "Callable[[str], None] | None" = None

#: Every point, with what has just happened there. A transaction has two: before and after its commit.
POINTS = {
    "claim.before_commit": "a slot's row and the cursor are written, not committed",
    "claim.after_commit": "a slot is claimed, its run has not begun",
    "manual_claim.before_commit": "a run by hand is written, not committed",
    "manual_claim.after_commit": "a run by hand is claimed, and has not begun",
    "retry_claim.before_commit": "the run that makes up for an interrupted one is written, not committed",
    "retry_claim.after_commit": "that run is claimed, and has not begun",
    "start.before": "the run's folder and request are written, no process is there",
    "start.after": "the process is there, and no row names it",
    "child.noted": "the row names the process",
    "renewal.before_commit": "a lease is renewed, not committed",
    "renewal.after_commit": "a lease is renewed",
    "attempt.ended": "the process has ended, nobody has been told",
    "spending.before_commit": "what a call of an agent has used is written, not committed",
    "spending.after_commit": "what it has used is stored, and the run has no verdict",
    "backoff.begun": "the run waits for its next attempt, and has given its place up",
    "place.before_commit": "a place is taken again, not committed",
    "place.after_commit": "a place is taken again, the next attempt has not begun",
    "verdict.before_commit": "the verdict and its event are written, not committed",
    "verdict.after_commit": "the verdict and its event are stored, nobody has been told",
    "append.before": "the events' file is locked, nothing is appended",
    "append.half": "half of the bytes are appended",
    "append.after": "the events are appended and durable, not marked",
    "delivered.before_commit": "events are marked as delivered, not committed",
    "delivered.after_commit": "events are delivered and marked",
    "settle.before_leftovers": "a dead run is found, its processes live",
    "settle.after_leftovers": "its processes are ended, its row says running",
    "sync.before_commit": "a changed .jobs.json is written, not committed",
    "sync.after_commit": "a changed .jobs.json is stored",
    "migration.before_backup": "an old database is found",
    "migration.after_backup": "its copy is made, its schema is the old one",
    "migration.before_commit": "the new schema is written, not committed",
    "migration.after_commit": "the new schema is stored",
    "take_back.before_commit": "rows of a clock that was ahead are taken back, not committed",
    "take_back.after_commit": "they are, and no cursor was corrected yet",
    "salvage.before_commit": "rows of a damaged database are written into its successor, not committed",
    "salvage.after_commit": "they are stored, and the successor has not taken the damaged one's place",
    "forget_output.before_commit": "old output is deleted, and its rows still name it",
    "forget_output.after_commit": "old output is deleted and forgotten",
    "prune.before_commit": "the output of old runs is deleted, and so are their rows, not committed",
    "prune.after_commit": "old runs are deleted",
    "time.left": "the tick has left its time",
    "cancel.requested": "a run's end is asked for, and nobody has seen it",
}


def point(name: str) -> None:
    """Says that the program is at this point."""
    if hook is not None:
        hook(name)
