"""An image from scratch with one static program, in five layers that use every means a layer has."""

from __future__ import annotations

import stat
import tarfile
from typing import Any

from tests.boot.enclave import busybox
from tests.images.layout import Entry, Layer, directory, hard_link, opaque, symlink, whiteout

LONG = "srv/" + "/".join(["a-name-of-fifty-bytes-so-that-no-header-of-tar-fits"] * 6)
"""Far longer than the 100 bytes of tar's header: pax records carry it."""

SCRIPT = """
cat /nonce; echo
for path in $(find / -xdev | sort); do
  case $path in /dev*|/proc*|/sys*|/run*|/tmp*) continue ;; esac
  stat -c "file %n %f %u %g %h %t:%T" "$path"
  [ ! -L "$path" ] || echo "link $path $(readlink "$path")"
done
for path in $(find /srv -xdev -type f | sort); do echo "data $path $(cat "$path")"; done
"""
"""What the image does: print the nonce and every file of the root."""

CONFIG: dict[str, Any] = {
    "Entrypoint": ["/bin/busybox", "sh", "-c"],
    "Cmd": [SCRIPT],
    "Env": ["PATH=/bin", "APPLET=ä"],
    "WorkingDir": "/srv",
}


def static_layers(nonce: str) -> list[Layer]:
    """The layers, lowest first; their sum is `expected`."""
    parents = [LONG[:i] for i in range(len(LONG)) if LONG[i] == "/" and i > 3]
    return [
        {
            "bin": directory(),
            "bin/busybox": Entry(busybox(), 0o755),
            "srv": directory(),
            "srv/gone": directory(),
            "srv/gone/file": Entry(b"below"),
            "srv/opaque": directory(),
            "srv/opaque/below": Entry(b"below"),
            "srv/kept": Entry(b"kept"),
            "srv/replaced": Entry(b"below", 0o600),
            "srv/file-then-directory": Entry(b"below"),
        },
        {
            "bin/sh": symlink("busybox"),
            "bin/cat": hard_link("bin/busybox"),
            "srv/twin": hard_link("srv/kept"),
        },
        {
            **whiteout("srv/gone"),
            **whiteout("srv/never-was"),
            **opaque("srv/opaque"),
            "srv/opaque/above": Entry(b"above"),
            "srv/replaced": Entry(b"above", 0o4751, uid=12, gid=34),
        },
        {
            "srv/file-then-directory": directory(0o2775, uid=70_000, gid=3_000_000),
            "srv/file-then-directory/in": Entry(b"in", 0o6755, uid=3_000_000, gid=70_000),
            "srv/sticky": directory(0o1777),
            "srv/null": Entry(mode=0o666, kind=tarfile.CHRTYPE, device=(1, 3)),
            "srv/pipe": Entry(mode=0o640, kind=tarfile.FIFOTYPE),
            **{name: directory() for name in parents},
            LONG: Entry(b"long"),
        },
        {"nonce": Entry(nonce.encode())},
    ]


def expected(nonce: str) -> dict[str, tuple[int, int, int, int, bytes | str]]:
    """The merged root: path to (mode with kind, uid, gid, names, content, link target or device)."""
    folder, file = stat.S_IFDIR, stat.S_IFREG
    # Names of a directory depend on the file system that it lies in: 0 stands for any number.
    root: dict[str, tuple[int, int, int, int, bytes | str]] = {
        "bin": (folder | 0o755, 0, 0, 0, b""),
        "bin/busybox": (file | 0o755, 0, 0, 2, busybox()),
        "bin/cat": (file | 0o755, 0, 0, 2, busybox()),
        "bin/sh": (stat.S_IFLNK | 0o777, 0, 0, 1, "busybox"),
        "nonce": (file | 0o644, 0, 0, 1, nonce.encode()),
        "srv": (folder | 0o755, 0, 0, 0, b""),
        "srv/file-then-directory": (folder | 0o2775, 70_000, 3_000_000, 0, b""),
        "srv/file-then-directory/in": (file | 0o6755, 3_000_000, 70_000, 1, b"in"),
        "srv/kept": (file | 0o644, 0, 0, 2, b"kept"),
        "srv/null": (stat.S_IFCHR | 0o666, 0, 0, 1, "1:3"),
        "srv/opaque": (folder | 0o755, 0, 0, 0, b""),
        "srv/opaque/above": (file | 0o644, 0, 0, 1, b"above"),
        "srv/pipe": (stat.S_IFIFO | 0o640, 0, 0, 1, b""),
        "srv/replaced": (file | 0o4751, 12, 34, 1, b"above"),
        "srv/sticky": (folder | 0o1777, 0, 0, 0, b""),
        "srv/twin": (file | 0o644, 0, 0, 2, b"kept"),
        LONG: (file | 0o644, 0, 0, 1, b"long"),
    }
    for i in range(4, len(LONG)):
        if LONG[i] == "/":
            root[LONG[:i]] = (folder | 0o755, 0, 0, 0, b"")
    return dict(sorted(root.items()))
