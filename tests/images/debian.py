"""A Debian root and a Python web service in it, as real programs make them: debootstrap, pip, umoci.

Kept per machine below ``.peers/images``, because making them takes a minute. The layers are umoci's own diffs
of a root that changes from step to step, so whiteouts and repeated hard links are what a real builder writes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.images.service.listing import list_root
from tests.interop.peers import PEERS, peer

SERVICE = Path(__file__).parent / "service"
SOURCES = ("listing.py", "service.py", "start.py")
REMOVED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "etc/cron.daily")
"""Directories that a layer below has and a later one takes away."""
REPLACED = "usr/share/base-files"
"""A directory that is taken away and made again with other content, in one layer."""
LINKED = ("usr/bin/python-linked", "srv/python")
"""Names that a later layer adds to a file of the first one (Python's program)."""
OWNED = {"srv/owned": (1234, 5678, 0o6750), "srv/owned/file": (70_000, 3_000_000, 0o4711)}
CLEANED = ("var/cache/apt/archives", "var/lib/apt/lists")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class RealImages:
    """An OCI layout (gzip) with the images ``debian`` and ``service``, and what their roots hold."""

    layout: Path

    def listing(self, tag: str) -> dict[str, Any]:
        """What the host saw in the root that the image was made of, as `list_root` has it."""
        found: dict[str, Any] = json.loads((self.layout.parent / f"{tag}.json").read_bytes())
        return found


def real_images() -> RealImages:
    """Both images, made if this machine does not have them; skipped with the reason where they cannot be."""
    umoci = peer("umoci")
    suite, mirror = suite_and_mirror()
    folder = PEERS / "images" / f"{suite}-{_recipe()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:  # several workers, or several runs, want them at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for old in folder.parent.glob("*/"):  # of other recipes, and what killed runs left
                shutil.rmtree(old)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
                _make(Path(name), umoci, suite, mirror)
                (Path(name) / "images").rename(folder)
    return RealImages(folder / "layout")


def _recipe() -> str:
    """Changes with everything that the images are made from; what the mirror has is the day's."""
    files = [Path(__file__), SERVICE / "requirements.txt", *(SERVICE / name for name in SOURCES)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def suite_and_mirror() -> tuple[str, str]:
    """This machine's own Debian, from its own apt configuration."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("a Debian root needs debootstrap (`make test` brings it, as root on Debian) and root")
    with open("/etc/os-release", encoding="utf-8") as file:
        settings = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    suite = settings.get("VERSION_CODENAME", "")
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", f"Codename: {suite}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if settings.get("ID") != "debian" or not listed:
        pytest.skip("a Debian root needs a Debian machine whose apt knows a mirror")
    return suite, listed[0]


def _run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """One step; what it said is the failure's message."""
    finished = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280
    )
    if finished.returncode != 0:
        pytest.fail(
            f"{command[0]} ended with {finished.returncode}: {(finished.stdout + finished.stderr)[-2000:]}"
        )


def _make(work: Path, umoci: Path, suite: str, mirror: str) -> None:
    """Folder ``images`` in ``work``, with the layout and both listings."""
    images, bundle = work / "images", work / "bundle"
    images.mkdir()
    layout, root = images / "layout", bundle / "rootfs"

    def commit(tag: str) -> None:
        _run(umoci, "repack", "--refresh-bundle", "--image", f"{layout}:{tag}", bundle)

    _run(umoci, "init", "--layout", layout)
    _run(umoci, "new", "--image", f"{layout}:empty")
    _run(umoci, "unpack", "--image", f"{layout}:empty", bundle)
    # In a mount namespace of its own: what debootstrap mounts ends with it, even if it is killed.
    debootstrap = ["unshare", "--mount", "debootstrap"]
    _run(*debootstrap, "--variant=minbase", "--include=python3", suite, root, mirror)
    for name in CLEANED:
        _empty(root / name)
    commit("debian")
    _list(root, images / "debian.json")
    _install(root)
    commit("framework")
    _tidy(root)
    commit("tidy")
    _add_service(root)
    commit("service")
    _list(root, images / "service.json")
    common = ["--config.env", f"PATH={PATH}", "--config.env", "LANG=C.UTF-8"]
    start = ["--config.cmd", "python3", "--config.cmd", "/srv/start.py", "--config.workingdir", "/srv"]
    _run(umoci, "config", "--image", f"{layout}:service", *common, *start)
    _run(
        umoci,
        "config",
        "--image",
        f"{layout}:debian",
        *common,
        "--config.cmd",
        "cat",
        "--config.cmd",
        "/nonce",
    )


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _list(root: Path, target: Path) -> None:
    target.write_text(json.dumps(list_root(str(root))), encoding="utf-8")


def _python_of(root: Path) -> str:
    """``3.11``: the version whose packages pip must bring."""
    return os.readlink(root / "usr/bin/python3").removeprefix("python")


def _install(root: Path) -> None:
    """Flask and gunicorn by pip, as built for the image's Python, and compiled by that."""
    version = _python_of(root)
    packages = root / "usr/local/lib" / f"python{version}" / "dist-packages"
    wanted = ["--python-version", version, "--implementation", "cp", "--platform", "manylinux2014_x86_64"]
    how = [
        "--quiet",
        "--no-compile",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--root-user-action",
        "ignore",
    ]
    pip = [sys.executable, "-m", "pip", "install", *how, *wanted, "--target", str(packages)]
    _run(*pip, "-r", SERVICE / "requirements.txt")
    _compile(root, packages)


def _compile(root: Path, folder: Path) -> None:
    """.pyc files beside each source, checked by time, as pip and Debian make them."""
    inside = f"/{folder.relative_to(root)}"
    compiler = ["python3", "-m", "compileall", "-q", "--invalidation-mode", "timestamp"]
    _run("chroot", root, *compiler, inside, env={"PATH": PATH})


def _tidy(root: Path) -> None:
    """A layer that only takes away, replaces, and links to what is below."""
    for name in REMOVED:
        shutil.rmtree(root / name)
    shutil.rmtree(root / REPLACED)
    (root / REPLACED).mkdir()
    (root / REPLACED / "new").write_text("made again\n", encoding="ascii")
    program = root / f"usr/bin/python{_python_of(root)}"
    for name in LINKED:
        os.link(program, root / name)


def _add_service(root: Path) -> None:
    for name in SOURCES:
        shutil.copyfile(SERVICE / name, root / "srv" / name)
    _compile(root, root / "srv")
    for name, (uid, gid, mode) in OWNED.items():
        path = root / name
        if name.endswith("file"):
            path.write_bytes(b"\x7fELF of nobody's\n")
        else:
            path.mkdir()
        os.chown(path, uid, gid)
        path.chmod(mode)
