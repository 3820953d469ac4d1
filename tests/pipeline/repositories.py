"""Folders as git repositories with one commit, made without touching the folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Harness"), ("EMAIL", "harness@invalid"), ("DATE", "@1767225600 +0000"))
}
"""The same files give the same commit id."""


def snapshot(folder: Path, repository: Path, *, only_known: bool = False) -> str:
    """What lies in ``folder`` as the one commit of the bare ``repository``; its id.

    ``only_known``: what the folder's own git knows or would be told of by ``git add``, without links.
    """
    environment = os.environ | _WHO | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    git = ["git", "-c", "safe.directory=*", "-c", "core.autocrlf=false"]
    subprocess.run([*git, "init", "--quiet", "--bare", str(repository)], env=environment, check=True)
    place = [*git, f"--git-dir={repository}", f"--work-tree={folder}"]
    listed = b"."
    if only_known:
        ask = [*git, "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(ask, env=environment, check=True, capture_output=True).stdout.split(b"\0")
        paths = [name for name in names if name and (folder / os.fsdecode(name)).is_file()]
        listed = b"\0".join(name for name in paths if not (folder / os.fsdecode(name)).is_symlink())
    add = [*place, "add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"]
    subprocess.run(add, cwd=folder, env=environment, input=listed, check=True)
    subprocess.run([*place, "commit", "--quiet", "-m", "One commit"], env=environment, check=True)
    found = subprocess.run(
        [*place, "rev-parse", "HEAD"], env=environment, check=True, capture_output=True, text=True
    )
    return found.stdout.strip()
