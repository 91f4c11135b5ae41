"""Which file system a path lies on. Source: man 5 proc, /proc/[pid]/mountinfo."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Kinds that reach other machines, where SQLite's locks and shared memory can't be trusted.
NETWORK = frozenset(
    {
        "9p", "acfs", "afp", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.cephfs",
        "fuse.davfs2", "fuse.glusterfs", "fuse.gcsfuse", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs",
        "gfs", "gfs2", "glusterfs", "gpfs", "lustre", "moosefs", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs",
        "pvfs2", "prl_fs", "prl_tg", "smb2", "smb3", "smbfs", "sshfs", "vboxsf", "virtiofs", "vmhgfs",
        "fuse.vmhgfs-fuse", "webdav",
    }
)  # fmt: skip
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A mounted file system: where, which kind, and from what."""

    point: str
    kind: str
    source: str


def mounts(text: str) -> list[Mount]:
    """The lines of a mountinfo; those that can't be understood are left out."""
    found = []
    for line in text.splitlines():
        # Optional fields stand before a lone dash, so that only the dash says where the kind is.
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if dash and len(fields) >= 6 and len(rest) >= 2:
            found.append(Mount(_plain(fields[4]), rest[0], _plain(rest[1])))
    return found


def mount_of(path: str, table: list[Mount]) -> Mount | None:
    """The mount that an absolute path without links lies on: the longest point above it, of several there the last."""
    best: Mount | None = None
    for mount in table:
        point = mount.point.rstrip("/")
        if (path == point or path.startswith(f"{point}/")) and (
            best is None or len(point) >= len(best.point.rstrip("/"))
        ):
            best = mount
    return best


def is_network(mount: Mount) -> bool:
    """Whether what lies there is on another machine, or on the host of a virtual one."""
    return mount.kind in NETWORK


def _plain(text: str) -> str:
    """Blanks and backslashes are written as octal numbers."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
