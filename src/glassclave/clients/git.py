"""Questions to git about a repository on this machine. Nothing is fetched, changed or overridden."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from glassclave.errors import UnavailableError
from glassclave.escaping import escape_untrusted

_SECONDS = 30
_ELSEWHERE = frozenset(
    ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
)
"""Set for programs that git starts (a hook, an alias): they would lead to another repository."""
_NO_SUCH_REMOTE = 2
_NOT_SYMBOLIC = 1
_TRACKED = "refs/remotes/origin/"


class Git:
    """The program ``git``. Whom a repository must belong to is git's decision (``safe.directory``)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        kept = {name: value for name, value in environment.items() if name not in _ELSEWHERE}
        self._environment = kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}

    def top(self, folder: Path) -> Path:
        """The folder that the repository of ``folder`` lies in. `UnavailableError` ``git.*``."""
        _, said = self._ask(folder, "rev-parse", "--show-toplevel")
        return Path(said)

    def origin(self, folder: Path) -> str | None:
        """The address of the remote ``origin``; ``None``: there is no such remote."""
        status, said = self._ask(folder, "remote", "get-url", "origin", allowed=_NO_SUCH_REMOTE)
        return said if status == 0 else None

    def default_branch(self, folder: Path) -> str | None:
        """The branch that ``origin/HEAD`` names; ``None``: it was never fetched."""
        status, said = self._ask(folder, "symbolic-ref", "--quiet", f"{_TRACKED}HEAD", allowed=_NOT_SYMBOLIC)
        return said.removeprefix(_TRACKED) if status == 0 and said.startswith(_TRACKED) else None

    def _ask(self, folder: Path, *words: str, allowed: int = 0) -> tuple[int, str]:
        try:
            done = subprocess.run(
                ["git", *words],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError("git.slow", f"git {words[0]} took over {_SECONDS} seconds") from error
        except OSError as error:
            raise _not_started(folder, error) from error
        if done.returncode not in (0, allowed):
            said = " | ".join(filter(None, map(str.strip, done.stderr.splitlines())))
            raise UnavailableError(
                "git.failed",
                f"git {words[0]} ended with status {done.returncode}",
                source=str(folder),
                hint=escape_untrusted(said, limit=1000) or None,
            )
        return done.returncode, done.stdout.removesuffix("\n")


def _not_started(folder: Path, error: OSError) -> UnavailableError:
    if not folder.is_dir():
        return UnavailableError("git.folder", "is not a folder", source=str(folder))
    return UnavailableError(
        "git.missing", f"git cannot be started: {error.strerror}", hint="install git, or put it on PATH"
    )
