#!/usr/bin/env python3
"""Rebuild the shipped kernel and init from source and compare them, byte for byte (docs/bootstrap.md).

    python bootstrap/build.py [--source FILE] [--folder DIR]     compare; exit status 1 where bytes differ
    python bootstrap/build.py --keep-source DIR [--source FILE]  put the lock's source package into DIR
    python bootstrap/build.py --update [--source FILE]           ship what was built and write the lock

Standard library only. Building needs Debian's compiler of the lock and the `ziglang` wheel of the lock.
Exit status 3: it could not be built, or not be had.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "src/glassclave/bootstrap/data/x86_64"
LOCK = DATA / "bootstrap.lock.json"
REBUILT = HERE / "rebuilt"
"""SHA-256 of the lock that a rebuild confirmed last: `.ci/run` rebuilds where it is another one's."""
SCHEMA = "glassclave-bootstrap-lock-1"
ARCHITECTURE = "x86_64"

PACKAGE = "linux-source-6.12"
BUILD_PACKAGES = ("bc", "bison", "flex", "gcc", "libc6-dev", "libelf-dev", "make", "perl", "xz-utils")
RECORDED_PACKAGES = ("gcc-12", "binutils", "gzip")
KERNEL_SETTINGS = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "glassclave",
    "KBUILD_BUILD_HOST": "glassclave",
    "KBUILD_BUILD_VERSION": "1",
    "SOURCE_DATE_EPOCH": "0",
    "LC_ALL": "C",
    "TZ": "UTC",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
# Compilers that are not used must not leave their versions in the configuration.
KERNEL_MAKE = ("RUSTC=absent", "BINDGEN=absent", "PAHOLE=absent")

INIT_SOURCES = (
    "init.h", "account.c", "main.c", "message.c", "parent.c", "process.c", "read.c", "start.c", "system.c",
)  # fmt: skip
INIT_FLAGS = (
    "-target", "x86_64-linux-musl", "-mcpu=x86_64", "-std=c11", "-O2", "-g0", "-static", "-s",
    "-Wall", "-Wextra", "-Werror", "-fno-sanitize=all", "-ffile-prefix-map=.=init", "-Wl,--build-id=none",
)  # fmt: skip


class CannotError(Exception):
    """It ends here, and nothing was compared."""


def fail(message: str) -> NoReturn:
    raise CannotError(message)


def say(message: str) -> None:
    print(f"bootstrap: {message}", flush=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(path: Path) -> dict[str, Any]:
    return {"sha256": sha256(path), "size": path.stat().st_size}


def run(*command: str, folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Standard output of a command; a failure ends the program with what the command said."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        fail(f"the program {command[0]} is missing")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        fail(f"{' '.join(command[:4])} ended with status {done.returncode}\n{said}")
    return done.stdout


# --- what the machine must have


def is_installed(package: str) -> bool:
    command = ("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", package)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.startswith("ii")


def install_packages() -> None:
    if shutil.which("dpkg-query") is None:
        fail(f"the kernel is built on Debian 12, with {' '.join(BUILD_PACKAGES)}; this machine has no dpkg")
    missing = [name for name in BUILD_PACKAGES if not is_installed(name)]
    if not missing:
        return
    if os.geteuid() != 0:
        fail(f"packages are missing; as root: apt-get install --no-install-recommends {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    run(*APT, "update")
    run(*APT, "install", "-y", "--no-install-recommends", *missing)


APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root")


def compilers() -> dict[str, Any]:
    try:
        zig = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        fail("the ziglang wheel is missing: pip install --require-hashes -r requirements/bootstrap.txt")
    return {
        "kernel": {
            "gcc": run("/usr/bin/gcc", "--version").splitlines()[0],
            "ld": run("/usr/bin/ld", "--version").splitlines()[0],
            "packages": {name: package_version(name) for name in RECORDED_PACKAGES if is_installed(name)},
        },
        "init": {"ziglang": zig},
    }


def package_version(name: str) -> str:
    return run("dpkg-query", "-W", "-f", "${Version}", name)


def check_compilers(lock: dict[str, Any], found: dict[str, Any]) -> None:
    """Only what decides over the bytes; the lock's package versions are for the reader."""
    wanted = lock["compilers"]
    pairs = [(wanted["kernel"][name], found["kernel"][name]) for name in ("gcc", "ld")]
    pairs.append((f"ziglang {wanted['init']['ziglang']}", f"ziglang {found['init']['ziglang']}"))
    for needed, here in pairs:
        if needed != here:
            fail(f"the lock says {needed}; this machine has {here}. Other compilers make other bytes")


# --- the source


def fetch_source(folder: Path, lock: dict[str, Any] | None) -> Path:
    """The package from the machine's own archive: the lock's version, or (update) the newest."""
    wanted = None if lock is None else lock["source"]
    name = PACKAGE if wanted is None else f"{PACKAGE}={wanted['version']}"
    command = (*APT, "download", name)
    for attempt in ("as known", "refreshed"):
        if attempt == "refreshed" and os.geteuid() == 0:
            run(*APT, "update")
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0:
            return next(folder.glob("*.deb"))
    if wanted is None:
        fail(f"{PACKAGE} cannot be downloaded: is bookworm-security among the apt sources?")
    fail(
        f"{PACKAGE} {wanted['version']} is not in this machine's archive (any more).\n"
        f"  Give it with --source FILE: {wanted['file']}, sha256 {wanted['sha256']},\n"
        f"  or the archive in it, {wanted['tarball']}, sha256 {wanted['tarball_sha256']}"
    )


def check_source(source: Path, lock: dict[str, Any]) -> str:
    """The sha256 of a .deb or .tar.xz, which must be the lock's."""
    digest = sha256(source)
    known = (lock["source"]["sha256"], lock["source"]["tarball_sha256"])
    if digest not in known:
        wanted = f"{known[0]} (package) or {known[1]} (archive)"
        fail(f"{source.name} has sha256 {digest}; the lock wants {wanted}")
    return digest


def keep_source(source: Path | None, target: Path, lock: dict[str, Any]) -> Path:
    """Puts the lock's source into a folder under its own name, for the assets of a release."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".source-", dir=target) as scratch:
        found = source or fetch_source(Path(scratch), lock)
        wanted = lock["source"]
        name = wanted["file"] if check_source(found, lock) == wanted["sha256"] else wanted["tarball"]
        copy = Path(scratch) / "checked"
        shutil.copyfile(found, copy)
        check_source(copy, lock)
        copy.replace(target / name)
    say(f"{target / name}: {(target / name).stat().st_size} bytes, sha256 {sha256(target / name)}")
    return target / name


def open_source(source: Path, folder: Path, lock: dict[str, Any] | None) -> tuple[Path, dict[str, Any]]:
    """Check and unpack a .deb or .tar.xz. Returns the source folder and the record of the source."""
    found: dict[str, Any] = {"package": PACKAGE, "distribution": "Debian bookworm-security"}
    digest = sha256(source) if lock is None else check_source(source, lock)
    if source.suffix == ".deb":
        found |= {"version": run("dpkg-deb", "-f", str(source), "Version").strip(), "file": source.name}
        found |= {"sha256": digest, "size": source.stat().st_size}
        run("dpkg-deb", "-x", str(source), str(folder / "package"))
        source = next((folder / "package/usr/src").glob("*.tar.xz"))
    elif lock is None:
        fail("--update needs the package (.deb): its version goes into the lock")
    found |= {"tarball": source.name, "tarball_sha256": sha256(source)}
    if lock is not None and found["tarball_sha256"] != lock["source"]["tarball_sha256"]:
        fail("the archive inside the package is not the lock's")
    unpacked = folder / "source"
    unpacked.mkdir()
    run("tar", "-C", str(unpacked), "-xf", str(source))
    return next(unpacked.glob("linux-source-*")), found


# --- building


def configure(tree: Path) -> None:
    make = ("make", "-s", *KERNEL_MAKE)
    fragment = HERE / "kernel.fragment"
    run(*make, "tinyconfig", folder=tree, environment=KERNEL_SETTINGS)
    merge = ("scripts/kconfig/merge_config.sh", "-m", ".config", str(fragment))
    run(*merge, folder=tree, environment=KERNEL_SETTINGS)
    run(*make, "olddefconfig", folder=tree, environment=KERNEL_SETTINGS)
    config = set((tree / ".config").read_text().splitlines())
    for line in fragment.read_text().splitlines():
        name, _, value = line.partition("=")
        if not name.startswith("CONFIG_"):
            continue
        is_off = not any(text.startswith(f"{name}=") for text in config)
        if not (is_off if value == "n" else line in config):
            fail(f"kernel.fragment: {line} did not take effect (a dependency changed?)")


def build_kernel(tree: Path, results: Path) -> None:
    configure(tree)
    make = ("make", "-s", f"-j{os.cpu_count()}", *KERNEL_MAKE, "bzImage")
    run(*make, folder=tree, environment=KERNEL_SETTINGS)
    shutil.copyfile(tree / "arch/x86/boot/bzImage", results / "bzImage")
    shutil.copyfile(tree / ".config", results / "kernel.config")


def build_init(folder: Path, results: Path) -> None:
    """Compiled in a copy with a cache of its own: nothing of this machine is reused."""
    sources = folder / "init"
    sources.mkdir()
    for name in INIT_SOURCES:
        shutil.copyfile(HERE / "init" / name, sources / name)
    cache = str(folder / "zig-cache")
    environment = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    environment["PATH"] = KERNEL_SETTINGS["PATH"]
    files = [name for name in INIT_SOURCES if name.endswith(".c")]
    command = (sys.executable, "-m", "ziglang", "cc", *INIT_FLAGS, "-o", "init", *files)
    run(*command, folder=sources, environment=environment)
    shutil.copyfile(sources / "init", results / "init")


def build(source: Path | None, folder: Path, lock: dict[str, Any] | None) -> tuple[Path, dict[str, Any]]:
    results = folder / "results"
    results.mkdir()
    started = time.monotonic()
    build_init(folder, results)
    shutil.copyfile(HERE / "cmdline", results / "cmdline")
    say(f"init built in {time.monotonic() - started:.0f} s")
    tree, found = open_source(source or fetch_source(folder, lock), folder, lock)
    say(f"source unpacked after {time.monotonic() - started:.0f} s; the kernel takes minutes")
    build_kernel(tree, results)
    say(f"kernel built after {time.monotonic() - started:.0f} s")
    return results, found


# --- comparing and recording


def compare(results: Path, lock: dict[str, Any]) -> int:
    different = 0
    for name, wanted in sorted(lock["results"].items()):
        built, shipped = results / name, DATA / name
        if sha256(shipped) != wanted["sha256"]:
            fail(f"the shipped {name} is not the one of the lock")
        same = built.read_bytes() == shipped.read_bytes()
        different += not same
        verdict = "identical" if same else "DIFFERENT"
        say(f"{name}: {wanted['size']} bytes, sha256 {wanted['sha256']}, {verdict}")
        if not same:
            say(f"{name}: built {built.stat().st_size} bytes, sha256 {sha256(built)}")
    return different


def recipe() -> dict[str, str]:
    names = ["kernel.fragment", "cmdline", *(f"init/{name}" for name in INIT_SOURCES)]
    return {name: sha256(HERE / name) for name in names}


def check_recipe(lock: dict[str, Any]) -> None:
    for name, digest in recipe().items():
        if lock["recipe"].get(name) != digest:
            fail(f"bootstrap/{name} changed after the lock was written: run bootstrap/build.py --update")


def write_lock(results: Path, source: dict[str, Any]) -> None:
    config = (results / "kernel.config").read_text()
    version = re.search(r"^# Linux/x86 (\S+) Kernel Configuration$", config, re.M)
    if version is None:
        fail("the configuration does not name the kernel's version")
    DATA.mkdir(parents=True, exist_ok=True)
    names = ("bzImage", "cmdline", "init", "kernel.config")
    for name in names:
        shutil.copyfile(results / name, DATA / name)
    lock = {
        "schema": SCHEMA,
        "name": f"glassclave {source['version'].partition('~')[0]}",
        "architecture": ARCHITECTURE,
        "os_name": "Linux",
        "kernel_version": version[1],
        "source": source,
        "compilers": compilers(),
        "flags": {
            "kernel": {"environment": KERNEL_SETTINGS, "make": list(KERNEL_MAKE), "base": "tinyconfig"},
            "init": list(INIT_FLAGS),
        },
        "recipe": recipe(),
        "results": {name: record(DATA / name) for name in names},
    }
    LOCK.write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n")
    say(f"wrote {LOCK.name}; put the new PCR1 into known_pcr1.toml (the test of the table prints it)")


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Rebuild kernel and init; compare them with the shipped ones."
    )
    parser.add_argument("--source", type=Path, help=f"the {PACKAGE} package (.deb), or the .tar.xz in it")
    parser.add_argument("--folder", type=Path, help="build here, in a new folder, and keep it")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--keep-source", type=Path, metavar="DIR", help="build nothing; put the source here")
    instead.add_argument("--update", action="store_true", help="ship the result and write the lock")
    return parser.parse_args(arguments)


def rebuild(options: argparse.Namespace, lock: dict[str, Any] | None) -> int:
    install_packages()
    if lock is not None:
        check_recipe(lock)
        check_compilers(lock, compilers())
    if options.folder is not None:
        options.folder.mkdir(parents=True)
    folder = options.folder.resolve() if options.folder else Path(tempfile.mkdtemp(prefix="bootstrap-"))
    try:
        results, found = build(options.source, folder, lock)
        if lock is None:
            write_lock(results, found)
        return 0 if lock is None else compare(results, lock)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    options = options_of(arguments)
    started = time.monotonic()
    lock = None if options.update else json.loads(LOCK.read_text())
    different = 0
    try:
        if options.source is not None and not options.source.is_file():
            fail(f"{options.source}: no such file")
        options.source = options.source and options.source.resolve()
        if options.keep_source is not None and lock is not None:
            keep_source(options.source, options.keep_source, lock)
        else:
            different = rebuild(options, lock)
            if lock is not None and not different:
                REBUILT.write_text(sha256(LOCK) + "\n")
    except CannotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    say(f"done in {time.monotonic() - started:.0f} s")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
