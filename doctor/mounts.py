"""The file system of a path. Source: proc(5), /proc/[pid]/mountinfo."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Types of network file systems, where SQLite's locks and shared memory are not reliable.
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
    """A mounted file system: mount point, type and source."""

    point: str
    kind: str
    source: str


def mounts(text: str) -> list[Mount]:
    """The mounts in the text of a mountinfo; lines that can't be read are left out."""
    result = []
    for line in text.splitlines():
        # A number of optional fields ends with a single dash; the type follows it.
        before, dash, after = line.partition(" - ")
        fields, type_and_source = before.split(" "), after.split(" ")
        if dash and len(fields) >= 6 and len(type_and_source) >= 2:
            result.append(Mount(_unescaped(fields[4]), type_and_source[0], _unescaped(type_and_source[1])))
    return result


def mount_of(path: str, table: list[Mount]) -> Mount | None:
    """The mount of an absolute path without links: the one with the longest mount point above it, the last if several.

    None if the table has none.
    """
    best: Mount | None = None
    for mount in table:
        point = mount.point.rstrip("/")
        if (path == point or path.startswith(f"{point}/")) and (
            best is None or len(point) >= len(best.point.rstrip("/"))
        ):
            best = mount
    return best


def is_network(mount: Mount) -> bool:
    """Whether its files are on another machine, or on the host of this virtual machine."""
    return mount.kind in NETWORK


def _unescaped(text: str) -> str:
    """Spaces and backslashes are written as octal numbers there."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
