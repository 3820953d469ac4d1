"""From a repository on this machine to the files that make its images judgeable.

What goes into a workflow decides what is signed: every name has one of the forms that are known here, and
nothing is quoted that was not checked.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from glassclave.errors import UnavailableError, UsageError
from glassclave.escaping import escape_untrusted
from glassclave.oci.reference import parse_reference
from glassclave.policy.model import Policy
from glassclave.report.starter import (
    BEGIN,
    END,
    POLICY,
    WORKFLOW,
    Project,
    StarterImage,
    policy_text,
    readme_text,
    workflow_text,
)
from glassclave.report.starter_rebuild import REBUILD_WORKFLOW, rebuild_workflow_text
from glassclave.streams import make_folder, read_small_file, write_atomically

README = "README.md"
DEFAULT_BRANCH = "main"
MAX_DEPTH = 4
MAX_IMAGES = 64
_IGNORED = frozenset(("node_modules", "vendor"))
_README_LIMIT = 4 << 20
_WORKFLOW_LIMIT = 1 << 20
_OWNER_NAME = r"(?P<owner>[A-Za-z0-9][A-Za-z0-9_-]{0,99})/(?P<name>[A-Za-z0-9._-]{1,100}?)"
_REMOTES = tuple(
    re.compile(rf"{start}{_OWNER_NAME}(?:\.git)?/?\Z")
    for start in (
        r"https://(?:[^/@\s?#\\]*@)?(?i:github\.com)/",
        r"(?:[A-Za-z0-9_-]+@)?(?i:github\.com):",
        r"ssh://(?:[A-Za-z0-9_-]+@)?(?i:(?:ssh\.)?github\.com)(?::[0-9]{1,5})?/",
    )
)
_REPOSITORY = re.compile(rf"{_OWNER_NAME}\Z")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*\Z")
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}\Z")
_CHECKOUT = "actions/checkout"
_USED = re.compile(rb"^[ \t]*(?:-[ \t]+)?uses:[ \t]*[\"']?actions/checkout@([0-9a-f]{40})\b", re.MULTILINE)


class Git(Protocol):
    """What is asked of git."""

    def top(self, folder: Path) -> Path:
        """The folder that the repository lies in. `UnavailableError` ``git.*``."""
        ...

    def origin(self, folder: Path) -> str | None:
        """The address of ``origin``."""
        ...

    def default_branch(self, folder: Path) -> str | None:
        """The branch that ``origin/HEAD`` names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRequest:
    """As given; ``None`` is found out. ``action``: ``OWNER/NAME@COMMIT``. ``checkout``: ``[…@]COMMIT``.

    ``arm64_bootstrap``: folder of the repository with kernel and init for arm64; then each image is built for
    arm64 too, for no kernel of ours is shipped for it. ``None``: for amd64 only.
    """

    folder: Path
    action: str | None = None
    checkout: str | None = None
    repository: str | None = None
    arm64_bootstrap: str | None = None


@dataclass(frozen=True, slots=True)
class StarterFile:
    """``path``: from the repository's root. ``state``: created, replaced, appended or unchanged."""

    path: str
    content: bytes
    state: str = "created"


def find_project(request: InitRequest, git: Git) -> Project:
    """What the repository says of itself. Nothing is written.

    Raises `UsageError` or `UnavailableError` ``init.*``, ``git.*``, with what to do.
    """
    action = _action(request.action)
    folder = request.folder
    top = git.top(folder)
    if not os.path.samefile(top, folder):
        raise UsageError(
            "init.folder",
            "is not where its repository begins; workflows lie there",
            source=str(folder),
            hint=f"glassclave init {escape_untrusted(str(top), limit=400)}",
        )
    repository = _repository(request.repository, git.origin(folder))
    Policy(repository=repository)  # its form, once more where it is judged
    parse_reference(f"ghcr.io/{repository.lower()}")
    branch = git.default_branch(folder) or DEFAULT_BRANCH
    if _BRANCH.match(branch) is None or len(branch) > 100:
        raise _form("init.branch", "the default branch", branch)
    return Project(
        repository=repository,
        branch=branch,
        images=_both(_images(folder, repository), _bootstrap(folder, request.arm64_bootstrap)),
        action=action,
        checkout=f"{_CHECKOUT}@{_checkout(request.checkout, folder)}",
    )


def _form(code: str, what: str, text: str) -> UsageError:
    return UsageError(
        code,
        f"{what} has a name that is not written into a workflow",
        field=escape_untrusted(text, limit=200),
        hint="letters, digits, '.', '_' and '-' are, a letter or digit first: rename it",
    )


def _action(text: str | None) -> str:
    name, _, commit = (text or "").partition("@")
    if _ACTION.match(name) is None or _COMMIT.match(commit) is None:
        raise UsageError(
            "init.action",
            "the action is not named with a whole commit id"
            if text
            else "which commit of the action shall sign is yours to say",
            field=None if text is None else text[:120],
            hint="--action OWNER/glassclave@COMMIT, 40 hex digits, of a commit that you have looked at",
        )
    return f"{name}@{commit}"


def _checkout(text: str | None, folder: Path) -> str:
    """The commit of actions/checkout: as given, or the one that this repository's workflows use already."""
    if text is not None:
        commit = text.removeprefix(f"{_CHECKOUT}@")
        if _COMMIT.match(commit):
            return commit
    used = set() if text else {found.decode() for found in _used(folder)}
    if len(used) == 1:
        return used.pop()
    why = "is not named with a whole commit id" if text else "is in no workflow here with a commit id"
    raise UsageError(
        "init.checkout",
        f"{_CHECKOUT} {'is here with several commit ids' if used else why}",
        field=None if text is None else text[:120],
        hint=f"--checkout COMMIT, 40 hex digits; git ls-remote https://github.com/{_CHECKOUT} lists them",
    )


def _used(folder: Path) -> Iterator[bytes]:
    _check_parents(folder)
    for path in sorted((folder / WORKFLOW).parent.glob("*.y*ml")):
        if path.is_file() and not path.is_symlink():
            yield from _USED.findall(read_small_file(path, limit=_WORKFLOW_LIMIT))


def _repository(given: str | None, origin: str | None) -> str:
    if given is not None:
        found = _REPOSITORY.match(given)
    else:
        found = next(filter(None, (form.match(origin or "") for form in _REMOTES)), None)
    if found is None or found["name"] in (".", "..") or found["name"].endswith(".git"):
        shown = given or (None if origin is None else re.sub(r"//[^/]*@", "//", origin))  # no password
        raise UsageError(
            "init.repository",
            "there is no remote origin" if shown is None else "is no repository on github.com",
            field=None if shown is None else escape_untrusted(shown, limit=200),
            hint="name it: --repo OWNER/NAME",
        )
    return f"{found['owner']}/{found['name']}"


def _images(top: Path, repository: str) -> Sequence[StarterImage]:
    folders = sorted(_folders(top))
    if not folders:
        raise UnavailableError(
            "init.dockerfile",
            f"there is no Dockerfile in the repository, {MAX_DEPTH} folders deep",
            hint="write one; hidden folders, node_modules, vendor and submodules are not searched",
        )
    if len(folders) > MAX_IMAGES:
        raise UsageError("init.images", f"{len(folders)} Dockerfiles, at most {MAX_IMAGES} make a matrix")
    last = [parts[-1].lower() if parts else repository.partition("/")[2].lower() for parts in folders]
    often = Counter(last)
    whole = ["-".join(parts).lower() or name for parts, name in zip(folders, last, strict=True)]
    names = [short if often[short] == 1 else long for short, long in zip(last, whole, strict=True)]
    for name, parts in zip(names, folders, strict=True):
        odd = next((part for part in parts if _FOLDER.match(part) is None), None)
        if odd is not None or _IMAGE.match(name) is None:
            raise _form("init.name", "a folder with a Dockerfile", "/".join(parts) or name)
    if len(set(names)) != len(names):
        double = next(name for name, times in sorted(Counter(names).items()) if times > 1)
        raise UsageError("init.name.twice", "two images would have the same name", field=double)
    return [StarterImage(name, "/".join(parts) or ".") for name, parts in zip(names, folders, strict=True)]


def _bootstrap(top: Path, folder: str | None) -> str | None:
    """A folder of the repository, by a path that is no more than names."""
    if folder is None:
        return None
    parts = folder.rstrip("/").split("/")
    if any(_FOLDER.match(part) is None for part in parts) or not top.joinpath(*parts).is_dir():
        raise UsageError(
            "init.bootstrap",
            "is no folder of the repository",
            field=escape_untrusted(folder, limit=200),
            hint="its path from where the repository begins, with kernel and init for arm64 in it",
        )
    return "/".join(parts)


def _both(images: Sequence[StarterImage], bootstrap: str | None) -> Sequence[StarterImage]:
    if bootstrap is None:
        return images
    return [one for image in images for one in (image, replace(image, bootstrap=bootstrap))]


def _folders(top: Path, parts: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Folders with a Dockerfile, as the names that lead there. No link is followed."""
    try:
        with os.scandir(top.joinpath(*parts)) as entries:
            found = {entry.name: entry for entry in entries}
            if parts and ".git" in found:
                return  # another repository: a checkout of this one does not bring it
            kept = [entry.name for entry in found.values() if entry.is_dir(follow_symlinks=False)]
            here = "Dockerfile" in found and found["Dockerfile"].is_file(follow_symlinks=False)
    except OSError as error:
        raise UnavailableError(
            "file.unreadable", f"cannot be read: {error.strerror}", source=str(top.joinpath(*parts))
        ) from error
    if here:
        yield parts
    if len(parts) < MAX_DEPTH:
        for name in kept:
            if name not in _IGNORED and not name.startswith("."):
                yield from _folders(top, (*parts, name))


def starter_files(project: Project, *, rebuild: bool = False) -> Sequence[StarterFile]:
    """The files and the README's section, as where nothing is there yet. ``rebuild``: the weekly one too."""
    weekly = rebuild_workflow_text(project).encode("ascii") if rebuild else None
    return [
        StarterFile(WORKFLOW, workflow_text(project).encode("ascii")),
        *([] if weekly is None else [StarterFile(REBUILD_WORKFLOW, weekly)]),
        StarterFile(POLICY, policy_text(project).encode("ascii")),
        StarterFile(README, readme_text(project).encode("ascii"), "appended"),
    ]


def write_files(folder: Path, files: Sequence[StarterFile], *, force: bool) -> Sequence[StarterFile]:
    """Write them, each whole or not at all; what was written, and as what.

    The section goes into a README.md that is there; none is made. Everything is looked at before anything is
    written. `UsageError` ``init.exists``, ``init.readme``; `UnavailableError` ``init.link``, ``file.*``.
    """
    _check_parents(folder)
    planned = [planned for file in files if (planned := _planned(folder, file)) is not None]
    there = [file.path for file in planned if file.state == "replaced"]
    if there and not force:
        raise UsageError(
            "init.exists",
            f"there already: {', '.join(there)}; nothing was written",
            hint="look at what would be written with --print, or replace with --force",
        )
    for file in planned:
        if file.state == "unchanged":
            continue
        target = folder / file.path
        make_folder(target.parent)
        with write_atomically(target) as opened:
            opened.write(file.content)
    return planned


def _check_parents(folder: Path) -> None:
    """A link would lead the workflow out of the repository."""
    for parent in (folder / WORKFLOW).parents[:2]:
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            raise UnavailableError("init.link", "is not a folder of the repository", source=str(parent))


def _planned(folder: Path, file: StarterFile) -> StarterFile | None:
    try:
        mode = os.lstat(folder / file.path).st_mode
    except FileNotFoundError:
        return None if file.path == README else file
    if not stat.S_ISREG(mode):
        raise UnavailableError("init.link", "is not a regular file", source=file.path)
    there = read_small_file(folder / file.path, limit=_README_LIMIT)
    wanted = _with_section(there, file) if file.path == README else replace(file, state="replaced")
    return replace(wanted, state="unchanged") if wanted.content == there else wanted


def _with_section(text: bytes, section: StarterFile) -> StarterFile:
    begin, end = BEGIN.encode(), END.encode()
    places = text.count(begin), text.count(end)
    if places == (0, 0):
        gap = b"" if not text else b"\n" if text.endswith(b"\n") else b"\n\n"
        return StarterFile(section.path, text + gap + section.content, "appended")
    if places != (1, 1) or text.index(begin) > text.index(end):
        raise UsageError(
            "init.readme",
            f"{BEGIN} and {END} do not stand there once each, in this order",
            source=section.path,
            hint="take them out; the section is then appended",
        )
    before, after = text[: text.index(begin)], text[text.index(end) + len(end) :]
    return StarterFile(section.path, before + section.content.rstrip(b"\n") + after, "replaced")
