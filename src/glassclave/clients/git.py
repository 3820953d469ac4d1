"""Questions to git about a repository on this machine, and checkouts of a commit into folders of their own.

No repository that was there is changed, and nothing of its configuration is overridden.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from glassclave.errors import UnavailableError, UsageError
from glassclave.escaping import escape_untrusted
from glassclave.provenance.container import is_context

_SECONDS = 30
_SHA1_DIGITS = 40
_ELSEWHERE = frozenset(
    ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
)
"""Set for programs that git starts (a hook, an alias): they would lead to another repository."""
MAX_TAGS = 1000
_FETCHING = frozenset(
    ("PATH", "TMPDIR", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY",
     "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
)  # fmt: skip
"""All that a checkout gets of the environment: how to reach a host, and no login, hook or filter."""
_FETCH_SECONDS = 900
_UMASK = 0o022
"""The runners' own: the modes of files are measured."""
_NO_REPOSITORY = 128
_NO_SUCH_REMOTE = 2
_NOT_SYMBOLIC = 1
_TRACKED = "refs/remotes/origin/"


class Git:
    """The program ``git``. Whom a repository must belong to is git's decision (``safe.directory``)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        kept = {name: value for name, value in environment.items() if name not in _ELSEWHERE}
        self._environment = kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
        self._fetching = {name: value for name, value in environment.items() if name in _FETCHING}

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

    def place(self, folder: Path) -> str | None:
        """``folder`` from the top of its repository, with ``/``; ``.`` for the top.

        ``None`` where it lies in no repository that git reads, or under a name that cannot be written down.
        """
        try:
            status, said = self._ask(folder, "rev-parse", "--show-prefix", allowed=_NO_REPOSITORY)
        except UnavailableError:
            return None
        place = said.removesuffix("/") or "."
        return place if status == 0 and place.isprintable() and is_context(place) else None

    def newest_tags(self, folder: Path) -> list[str]:
        """Names of at most `MAX_TAGS` tags, the newest first. `UnavailableError` ``git.*``."""
        words = ("--sort=-creatordate", "--format=%(refname:strip=2)", f"--count={MAX_TAGS}", "refs/tags")
        return self._ask(folder, "for-each-ref", *words)[1].splitlines()

    def check_clean(self, folder: Path, commit: str) -> None:
        """That ``folder`` is the top of a checkout of ``commit`` in which nothing was changed or added.

        Raises `UnavailableError` ``git.*``, `UsageError` ``git.head``, ``git.dirty``.
        """
        _, head = self._ask(folder, "rev-parse", "--verify", "HEAD^{commit}")
        if head != commit:
            raise UsageError(
                "git.head",
                f"is at commit {escape_untrusted(head, limit=80)}, not at {commit}",
                source=str(folder),
                hint=f"git checkout --detach {commit}",
            )
        _, changed = self._ask(folder, "status", "--porcelain", "--untracked-files=all")
        if changed:
            raise UsageError(
                "git.dirty",
                f"is not clean: {escape_untrusted(changed.splitlines()[0].strip(), limit=300)}",
                source=str(folder),
                hint="commit says what is rebuilt; git stash --include-untracked puts the rest away",
            )

    def checkout(self, source: str, commit: str, folder: Path) -> None:
        """The files of ``commit`` from ``source`` (an address, or the path of a repository) in ``folder``.

        ``folder`` is made, as actions/checkout does it: one commit deep, without submodules, under the umask
        of a runner. No login, configuration, hook, filter or other protocol takes part.
        Raises `UnavailableError` ``git.*``.
        """
        local = "://" not in source
        home = folder.parent / f"{folder.name}.home"
        for made in (home, folder):
            made.mkdir(mode=0o755)
            made.chmod(0o755)  # whatever the umask is
        config = home / ".gitconfig"
        # A repository that the caller's git has accepted (`check_clean`) may belong to another user.
        config.write_text("[safe]\n\tdirectory = *\n" if local else "", encoding="ascii")
        environment = self._fetching | {
            "HOME": str(home),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_ALLOW_PROTOCOL": "file" if local else source.partition("://")[0],
        }
        form = "sha1" if len(commit) == _SHA1_DIGITS else "sha256"
        for command in (
            ["init", "--quiet", "--template=", f"--object-format={form}", "."],
            ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", source, commit],
            ["checkout", "--quiet", "--detach", "--no-recurse-submodules", commit, "--"],
        ):
            words = ["-c", "core.hooksPath=/dev/null", "-c", "credential.helper=", *command]
            _answer(
                _run(words, folder, environment, seconds=_FETCH_SECONDS, umask=_UMASK), command[0], source
            )

    def _ask(self, folder: Path, *words: str, allowed: int = 0) -> tuple[int, str]:
        done = _run(words, folder, self._environment)
        return _answer(done, words[0], str(folder), allowed)


def _run(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    seconds: int = _SECONDS,
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=seconds,
            umask=umask,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError("git.slow", f"git took over {seconds} seconds") from error
    except OSError as error:
        raise _not_started(folder, error) from error


def _answer(
    done: subprocess.CompletedProcess[str], verb: str, source: str, allowed: int = 0
) -> tuple[int, str]:
    if done.returncode not in (0, allowed):
        said = " | ".join(filter(None, map(str.strip, done.stderr.splitlines())))
        raise UnavailableError(
            "git.failed",
            f"git {verb} ended with status {done.returncode}",
            source=source,
            hint=escape_untrusted(said, limit=1000) or None,
        )
    return done.returncode, done.stdout.removesuffix("\n")


def _not_started(folder: Path, error: OSError) -> UnavailableError:
    if not folder.is_dir():
        return UnavailableError("git.folder", "is not a folder", source=str(folder))
    return UnavailableError(
        "git.missing", f"git cannot be started: {error.strerror}", hint="install git, or put it on PATH"
    )
