"""What is in a root directory: every name with its facts. Runs on the host and in the guest."""

import hashlib
import json
import os
import stat
import sys

MACHINES = ("dev", "proc", "run", "sys", "tmp")
"""What init mounts: what lies below is the machine's, not the image's."""

Facts = list[int | str]


def list_root(root: str) -> dict[str, Facts]:
    """Path to [mode with kind, uid, gid, links, size or device, link target or MD5], sorted by path."""
    found: dict[str, Facts] = {}
    pending = [""]
    while pending:
        parent = pending.pop()
        for name in os.listdir(os.path.join(root, parent)):
            path = os.path.join(parent, name)
            if path in MACHINES:
                continue
            status = os.lstat(os.path.join(root, path))
            found[path] = describe(os.path.join(root, path), status)
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
    return dict(sorted(found.items()))


def describe(path: str, status: os.stat_result) -> Facts:
    """One file, as `list_root` has it. Of .pyc files the content is left out: `build` rewrites its header."""
    mode = status.st_mode
    links, size, content = status.st_nlink, status.st_size, ""
    if stat.S_ISDIR(mode):
        links = size = 0
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        size = status.st_rdev
    elif stat.S_ISLNK(mode):
        content = os.readlink(path)
    elif stat.S_ISREG(mode) and not path.endswith(".pyc"):
        with open(path, "rb") as file:
            # Quick where the processor is emulated; nobody attacks this comparison.
            content = hashlib.md5(file.read(), usedforsecurity=False).hexdigest()
    return [mode, status.st_uid, status.st_gid, links, size, content]


if __name__ == "__main__":
    json.dump(list_root(sys.argv[1]), sys.stdout)
