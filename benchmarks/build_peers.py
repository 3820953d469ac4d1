"""The ways to an enclave image that there are without us (the programs of AWS, Docker and OCI)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.images import TAG, Image
from benchmarks.measure import LeftOut, run_child
from benchmarks.setting import Setting, peer
from glassclave.bootstrap import load_shipped
from glassclave.ramdisk.bootstrap import bootstrap_ramdisk

BY_HAND = "umoci, cpio, eif_build"
DOCKER = "skopeo, docker export, eif_build"
PACK = "find . -print0 | sort -z | cpio --quiet --null --reproducible -R 0:0 -H newc -o > "


class EifBuild:
    """AWS's writer with our kernel and init; ``resident_bytes`` is the most memory that it took."""

    def __init__(self, folder: Path) -> None:
        self._program = peer("eif_build")
        self._folder = folder
        bootstrap = load_shipped("x86_64")
        (folder / "kernel").write_bytes(bootstrap.kernel)
        (folder / "cmdline").write_bytes(bootstrap.cmdline)
        with (folder / "init.cpio").open("wb") as file:
            for piece in bootstrap_ramdisk(bootstrap.init, bootstrap.nsm_module):
                file.write(piece)
        self._cmdline = bootstrap.cmdline.decode("ascii")
        self.resident_bytes = 0

    def run(self, ramdisk: Path, output: Path) -> None:
        words: list[str | Path] = ["--kernel", self._folder / "kernel", "--cmdline", self._cmdline]
        ramdisks: list[str | Path] = ["--ramdisk", self._folder / "init.cpio", "--ramdisk", ramdisk]
        done = run_child([self._program, *words, *ramdisks, "--output", output], watched=True)
        self.resident_bytes = max(self.resident_bytes, done.resident_bytes)


def by_hand(setting: Setting, image: Image, writer: EifBuild) -> Callable[[], float]:
    """Seconds from the layout to the image: unpacked to a folder, packed again, written."""
    umoci, environment = peer("umoci"), setting.environment()
    if os.geteuid() or shutil.which("cpio") is None:
        raise LeftOut("root and cpio are needed to unpack an image with its owners and pack it again")

    def run() -> float:
        with setting.part("by-hand") as folder:
            bundle, ramdisk = folder / "bundle", folder / "app.cpio"
            started = time.perf_counter()
            run_child([umoci, "unpack", "--image", f"{image.layout}:{TAG}", bundle], environment=environment)
            run_child(["sh", "-c", f"{PACK}'{ramdisk}'"], folder=bundle / "rootfs")
            writer.run(ramdisk, folder / "app.eif")
            return time.perf_counter() - started

    return run


@contextmanager
def docker_engine(setting: Setting) -> Iterator[str]:
    """A Docker engine that listens on a private socket; ``DOCKER_HOST`` for it."""
    program = peer("dockerd")
    if os.geteuid():
        raise LeftOut("a Docker engine needs root")
    with setting.part("docker") as place:
        (place / "config.json").write_text("{}", encoding="ascii")
        command = [
            str(program), "--config-file", str(place / "config.json"), "--data-root", str(place / "data"),
            "--exec-root", str(place / "run"), "-H", f"unix://{place}/d.sock",
            "--pidfile", str(place / "pid"),
            "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
            "--userland-proxy=false", "--storage-driver=overlay2",
        ]  # fmt: skip
        with (place / "log").open("wb") as log:
            engine = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=setting.environment()
            )
        try:
            _await(place, engine)
            yield f"unix://{place}/d.sock"
        finally:
            engine.terminate()
            engine.wait(60)


def _await(place: Path, engine: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if (place / "d.sock").exists():
            return
        if engine.poll() is not None:
            break
        time.sleep(0.1)
    last = (place / "log").read_text(errors="replace").strip().splitlines()[-1:]
    raise LeftOut(f"no Docker engine starts here: {' '.join(last)}")


def through_docker(setting: Setting, image: Image, writer: EifBuild, host: str) -> Callable[[], float]:
    """Seconds through a Docker engine, as nitro-cli goes, but without what linuxkit does: a lower bound.

    nitro-cli's own `build-enclave` wants linuxkit, which no package registry has; it exports the container,
    rewrites the tar as cpio and gives it to the code that eif_build consists of.
    """
    skopeo, docker = peer("skopeo"), peer("docker")
    environment = setting.environment(DOCKER_HOST=host)
    copy = ["--insecure-policy", "copy", "--quiet", "--dest-daemon-host", host]

    def ask(*words: str) -> str:
        done = subprocess.run([docker, *words], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise LeftOut(f"docker {words[0]}: {done.stderr[-300:]}")
        return done.stdout.strip()

    def run() -> float:
        with setting.part("through-docker") as folder:
            started = time.perf_counter()
            source = f"oci:{image.layout}:{TAG}"
            run_child([skopeo, *copy, source, "docker-daemon:bench:t"], environment=environment)
            container = ask("create", "bench:t")
            ask("export", "-o", str(folder / "app.tar"), container)
            writer.run(folder / "app.tar", folder / "app.eif")
            seconds = time.perf_counter() - started
            ask("rm", container)
            ask("rmi", "-f", "bench:t")
        return seconds

    return run
