"""Real images, booted: the guest sees every file as the host made it; a web service answers over vsock."""

from __future__ import annotations

import http.client
import json
import secrets
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from glassclave_sandbox.machine import Machine
from tests.boot.enclave import SECONDS, run
from tests.images.debian import RealImages, real_images
from tests.images.layout import Entry, extend_layout, write_layout
from tests.images.service.start import PORT
from tests.images.static import CONFIG, expected, static_layers

pytestmark = pytest.mark.boot

HOSTS = b"127.0.0.1 localhost\n::1 localhost\n"
"""What init writes to /etc/hosts where an image has none; the only file that it adds to the root."""


def build(source: str, output: Path) -> Path:
    """The image that the command writes."""
    command = [sys.executable, "-m", "glassclave", "build", source, "-o", str(output)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return output


def test_static_image_shows_its_nonce_and_files(qemu: Path, tmp_path: Path) -> None:
    nonce = secrets.token_hex(16)
    layout = write_layout(tmp_path / "layout", static_layers(nonce), CONFIG)
    lines = run(qemu, build(f"oci:{layout}", tmp_path / "image.eif")).splitlines()
    assert nonce in lines
    seen = {}
    for line in lines:
        if line.startswith("file /"):
            path, kind, *numbers, node = line.removeprefix("file /").split(" ")
            seen[path] = [int(kind, 16), *map(int, numbers), node]
    wanted = expected(nonce)
    assert set(seen) - set(wanted) == {"", "etc", "etc/hosts"}
    for name, (mode, uid, gid, links, content) in wanted.items():
        device = content if stat.S_ISCHR(mode) else "0:0"
        assert seen[name] == [mode, uid, gid, links or seen[name][3], device], name
        if stat.S_ISLNK(mode):
            assert f"link /{name} {content!s}" in lines
        elif stat.S_ISREG(mode) and name.startswith("srv/"):
            assert isinstance(content, bytes)
            assert f"data /{name} {content.decode()}" in lines


@pytest.fixture(scope="module")
def real() -> RealImages:
    return real_images()


def ask(machine: Machine, method: str, path: str) -> bytes:
    """The answer of the guest's web service; asked again until it listens."""
    deadline = time.monotonic() + SECONDS
    while True:
        connection = http.client.HTTPConnection("enclave")
        connection.sock = machine.connect(PORT, timeout=SECONDS)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            assert time.monotonic() < deadline and machine.running, machine.console
            time.sleep(0.1)  # the bridge is there before gunicorn is
            continue
        finally:
            connection.close()
        assert response.status == 200, body
        return body


def ask_json(machine: Machine, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(machine, "GET", path))
    return found


@pytest.mark.acceptance  # making the root takes three quarters of a minute
def test_web_service_answers_over_vsock(qemu: Path, tmp_path: Path, real: RealImages) -> None:
    nonce = secrets.token_hex(16)
    layer = {"nonce": Entry(nonce.encode())}
    layout = extend_layout(real.layout, "service", tmp_path / "layout", layer)
    image = build(f"oci:{layout}", tmp_path / "image.eif")
    with Machine(image, qemu=qemu) as machine:
        machine.wait_for_heartbeat(SECONDS)
        assert machine.wait_for_line(f"nonce {nonce}", timeout=SECONDS), machine.console
        assert ask(machine, "GET", "/") == nonce.encode()

        seen = ask_json(machine, "/listing")
        assert seen.pop("nonce")[:5] == [stat.S_IFREG | 0o644, 0, 0, 1, len(nonce)]
        assert seen.pop("etc/hosts")[:5] == [stat.S_IFREG | 0o644, 0, 0, 1, len(HOSTS)]
        assert seen == real.listing("service")

        before = ask_json(machine, "/start/flask,listing")
        assert before["user"] == [0, 0]
        assert before["compiled"] == before["stale"] == []
        assert len(before["cached"]) > 200
        assert any("/dist-packages/flask/" in name for name in before["cached"])

        # That such files would be named: one source made newer than its .pyc file.
        assert ask(machine, "POST", "/touch") == b"touched"
        after = ask_json(machine, "/start/listing")
        assert after["compiled"] == ["/srv/listing.py"]
        assert len(after["stale"]) == 1
