"""Where the real programs are, and servers of theirs that live for one test."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(os.environ.get("GLASSCLAVE_PEERS", ROOT / ".peers"))
START_SECONDS = 20.0
REGISTRY_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: "{storage}"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0"}}
"""


def peer(name: str, *, brought_by: str = "make test") -> Path:
    """The program's path; where it is not to be had, the test is skipped and says why."""
    for candidate in (PEERS / "bin" / name, *map(Path, filter(None, [shutil.which(name)]))):
        if os.access(candidate, os.X_OK):
            return candidate
    note = PEERS / "missing" / name
    reason = (
        note.read_text(encoding="utf-8").strip()
        if note.is_file()
        else f"`{brought_by}` brings it, as root on Debian"
    )
    pytest.skip(f"{name} is not on this machine: {reason}")


@dataclass(frozen=True)
class Registry:
    """A registry that listens on loopback: its `host:port`, and the file its access log grows in."""

    address: str
    access_log: Path

    def requests(self) -> list[tuple[str, str, int]]:
        """(method, path with query, status) of every request so far, as answered."""
        lines = re.findall(
            r'"([A-Z]+) (\S+) HTTP/[0-9.]+" (\d{3})', self.access_log.read_text(encoding="utf-8")
        )
        return [(method, path, int(status)) for method, path, status in lines]


def _announced_address(log: Path, server: subprocess.Popen[bytes]) -> str:
    """What the server says it listens on: the system chose the port, so no two tests want the same one."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text(encoding="utf-8"))
        if found:
            return found[1]
        if server.poll() is not None:
            break
        time.sleep(0.02)
    pytest.fail(f"{server.args!r} did not start:\n{log.read_text(encoding='utf-8')}")


@contextmanager
def listening(command: list[str | Path], folder: Path, environment: dict[str, str]) -> Iterator[Registry]:
    access_log, log = folder / "access.log", folder / "registry.log"
    with access_log.open("wb") as out, log.open("wb") as err:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=folder
        )
        try:
            yield Registry(_announced_address(log, server), access_log)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(10)


@contextmanager
def serve_registry(kind: str, folder: Path, environment: dict[str, str]) -> Iterator[Registry]:
    """``docker-registry``, without the referrers API, or ``refregistry``, with it; empty."""
    folder.mkdir()
    if kind == "refregistry":
        command: list[str | Path] = [peer(kind, brought_by="make peers"), "-address", "127.0.0.1:0"]
    else:
        configuration = folder / "config.yml"
        configuration.write_text(REGISTRY_CONFIG.format(storage=folder / "storage"), encoding="utf-8")
        command = [peer(kind), "serve", configuration]
    with listening(command, folder, environment) as registry:
        yield registry
