#!/usr/bin/env python3
"""The example's container image as an OCI layout, made without a container builder (see README.md).

    python examples/hello/make_layout.py             compile, compare with the shipped layout (1: differs)
    python examples/hello/make_layout.py --update    ship what was made

It is the image that the Dockerfile makes, with one plain layer and no time in it. Needs the compiler of
requirements.txt in this Python, and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
LOCK = HERE / "hello.lock.json"
"""What the shipped layout was made of: a change of the sources without a new layout is seen at once."""
SOURCES = ("flags", "hello.c", "requirements.txt")
SHIPPED = HERE.parents[1] / "sandbox/src/glassclave_sandbox/demo/hello"
TAG = "1.0"
CONFIG = {"Env": ["PATH=/"], "Entrypoint": ["/hello"], "WorkingDir": "/"}
_OCI = "application/vnd.oci.image"


def fail(message: str) -> NoReturn:
    sys.exit(f"error: {message}")


def check_compiler() -> None:
    """Another version makes other bytes."""
    wanted = (HERE / "requirements.txt").read_text(encoding="ascii").partition("ziglang==")[2].split()[0]
    try:
        found = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != wanted:
        fail(f"ziglang {wanted} is needed, here is {found}: pip install --require-hashes -r requirements.txt")


def compile_program(folder: Path) -> bytes:
    """The program; the compiler sees no path but names relative to the sources, and an empty cache."""
    shutil.copy(HERE / "hello.c", folder)
    flags = (HERE / "flags").read_text(encoding="ascii").split()
    command = [sys.executable, "-m", "ziglang", "cc", *flags, "-o", "hello", "hello.c"]
    caches = {
        "ZIG_GLOBAL_CACHE_DIR": f"{folder}/cache",
        "ZIG_LOCAL_CACHE_DIR": f"{folder}/cache",
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(command, cwd=folder, env=caches, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"the compiler ended with status {done.returncode}\n{done.stderr[-2000:]}")
    return (folder / "hello").read_bytes()


def layer_of(program: bytes) -> bytes:
    """A tar with one file; its time is a constant."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("hello")
        info.mode, info.size, info.mtime = 0o755, len(program), 315532800
        archive.addfile(info, io.BytesIO(program))
    return out.getvalue()


def encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def write_layout(folder: Path, layer: bytes) -> None:
    """OCI image layout 1.0.0 with one image."""

    def blob(data: bytes, kind: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (folder / "blobs/sha256" / name).write_bytes(data)
        return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{name}", "size": len(data)}

    (folder / "blobs/sha256").mkdir(parents=True)
    stored = blob(layer, "layer.v1.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": CONFIG,
        "rootfs": {"type": "layers", "diff_ids": [stored["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": blob(encoded(config), "config.v1+json"),
        "layers": [stored],
    }
    listed = blob(encoded(manifest), "manifest.v1+json")
    index = {
        "schemaVersion": 2,
        "manifests": [listed | {"annotations": {"org.opencontainers.image.ref.name": TAG}}],
    }
    (folder / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(encoded(index))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lock_of(digest: str) -> bytes:
    """The lock for the sources as they are and the layout with this manifest."""
    sources = {name: hashlib.sha256((HERE / name).read_bytes()).hexdigest() for name in SOURCES}
    return json.dumps({"manifest": digest, "sources": sources}, indent=2).encode("ascii") + b"\n"


def main() -> int:
    """Make it; then compare, or ship."""
    if sys.argv[1:] not in ([], ["--update"]):
        fail(f"usage: {sys.argv[0]} [--update]")
    check_compiler()
    with tempfile.TemporaryDirectory() as temporary:
        build, layout = Path(temporary, "build"), Path(temporary, "layout")
        build.mkdir()
        write_layout(layout, layer_of(compile_program(build)))
        made = contents(layout)
        digest = json.loads(made["index.json"])["manifests"][0]["digest"]
        if sys.argv[1:]:
            shutil.rmtree(SHIPPED, ignore_errors=True)
            shutil.copytree(layout, SHIPPED)
            LOCK.write_bytes(lock_of(digest))
    same = made == contents(SHIPPED) and LOCK.read_bytes() == lock_of(digest)
    print(f"hello:{TAG} {digest}: {'the shipped bytes' if same else 'NOT the shipped bytes'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
