"""The blocks that `install-crontab` wrote into a crontab: of which copy, and for which database.

A block names the folder of its copy. If the folder is moved, the block stays and its lines fail each minute; the
database moves with the folder, so its ID says which block was ours.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from core.permissions import is_missing
from core.shell import quoted
from install import units

_PREFIX = units.BEGIN.format(root="")


@dataclass(frozen=True)
class Block:
    """A complete block: the folder of its copy, the ID of its database ("" if it names none), its lines and numbers.

    `first` and `last` are the numbers (from 1) of its begin and end.
    """

    root: str
    database: str
    first: int
    last: int
    lines: tuple[str, ...]

    @property
    def is_gone(self) -> bool:
        """Whether its copy does not exist any more."""
        return is_missing(os.path.join(self.root, "main.py"))

    @property
    def twin_sentence(self) -> str:
        """What is wrong with a block of `twins`."""
        where = f"Lines {self.first} to {self.last} of the crontab start the copy in {self.root}"
        return f"{where}, whose database was copied with this one: with lines for both copies each job starts in both"

    @property
    def twin_hint(self) -> str:
        """What to do about a block of `twins`."""
        return f"Where its jobs are not to start: cd {quoted(self.root)} && python3 main.py uninstall-crontab"


def blocks(text: str) -> list[Block]:
    """The complete blocks of a crontab, whichever copy wrote them, in order."""
    found: list[Block] = []
    first, root = 0, ""
    inside: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.rstrip()
        if bare.startswith(_PREFIX):
            first, root, inside = number, bare.removeprefix(_PREFIX), []
        elif first and bare == units.END.format(root=root):
            found.append(Block(root, _database(inside), first, number, tuple(inside)))
            first = 0
        else:
            inside.append(bare)
    return found


def left_behind(text: str, root: str) -> list[Block]:
    """Blocks of other folders that do not exist any more: their lines fail each minute."""
    return [block for block in blocks(text) if block.root != root and block.is_gone]


def moved(text: str, root: str, database: str) -> list[Block]:
    """Those of `left_behind` that name this database: this copy stood there before it was moved."""
    return [block for block in left_behind(text, root) if database and block.database == database]


def twins(text: str, root: str, database: str) -> list[Block]:
    """Blocks of other folders that name this database and whose copy is there: each job starts in both."""
    others = (block for block in blocks(text) if database and block.database == database and block.root != root)
    return [block for block in others if not block.is_gone and not _is_same(block.root, root)]


def _is_same(first: str, second: str) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)


def own_database(text: str, root: str) -> str:
    """The database ID that the block of this copy names; "" if there is none."""
    return next((block.database for block in blocks(text) if block.root == root and block.database), "")


def without(text: str, roots: Collection[str]) -> str:
    """The crontab without the blocks of these copies."""
    for root in roots:
        text = units.without_block(text, root)
    return text


def _database(lines: list[str]) -> str:
    ids = (line.removeprefix(units.DATABASE) for line in lines if line.startswith(units.DATABASE))
    return next(ids, "")
