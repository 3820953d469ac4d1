"""A run of the services: what it leaves in its folder, how the command starts and stops."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from glassclave.errors import UnavailableError
from glassclave_sandbox.services import Services
from tests.unit.sandbox.loopback import ask, ask_for_certificate, certificate_in

AT = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_the_folder_holds_what_clients_need(tmp_path: Path) -> None:
    with Services(tmp_path / "new" / "state") as services:
        files = [Path(value) for value in services.environment().values() if value.endswith(".pem")]
        assert len(files) == 4
        assert all(file.is_absolute() and b"BEGIN" in file.read_bytes() for file in files)
        for path in (services.trust_config, services.trusted_root, services.signing_config):
            assert services.url in path.read_text()
        assert ask("GET", f"{services.url}/api/v1/log").status == 200
        sourced = subprocess.run(
            [
                "sh",
                "-c",
                '. "$0" && echo "$ACTIONS_ID_TOKEN_REQUEST_URL"',
                services.write_environment(ref="a b"),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert sourced == f"{services.url}/token?api-version=2.0&ref=a+b\n"
        url, registry = services.url, services.registry
    for address in (url, f"http://{registry}"):
        with pytest.raises(ConnectionRefusedError):
            ask("GET", address)


def test_the_registry_can_be_left_out(tmp_path: Path) -> None:
    with Services(tmp_path, registry=False) as services:
        assert services.registry == ""
        assert services.requests() == []
        assert not (tmp_path / "registry").exists()


def test_all_services_go_by_one_clock(tmp_path: Path) -> None:
    with Services(tmp_path, registry=False, clock=lambda: AT) as services:
        certificate = certificate_in(ask_for_certificate(services.url, services.token()))
        assert certificate.not_valid_before_utc == AT
        root = x509.load_pem_x509_certificate((tmp_path / "fulcio-root.pem").read_bytes())
        [name] = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert name.value == "SANDBOX certificate root 2031-05-06"
        late = str(int(AT.timestamp()))
        assert ask_for_certificate(services.url, services.token(exp=late)).status == 401
        [entry] = ask("GET", f"{services.url}/api/v1/log/entries?logIndex=0").json().values()
        assert entry["integratedTime"] == int(AT.timestamp())


def test_a_folder_or_port_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot write to"):
        Services(tmp_path / "file").__enter__()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UnavailableError, match="listen"):
        Services(tmp_path, port=taken.getsockname()[1]).__enter__()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_command_serves_until_it_is_stopped(tmp_path: Path, number: int, status: int) -> None:
    # As a script starts what is behind `&`: SIGINT ignored.
    ignoring = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", ignoring, sys.executable, "-m", "glassclave_sandbox", "services"]
    command += ["--state", "s", "--no-referrers"]
    with subprocess.Popen(
        [*command, "--claim", "ref=refs/tags/v1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        found = re.match(r"sigstore +(http://127\.0\.0\.1:\d+) ", lines[0])
        assert found, lines
        assert "without referrers API" in lines[1]
        assert lines[3].split() == ["as", "a", "job", ".", "s/env.sh"]
        assert ask("GET", f"{found[1]}/api/v1/log").json()["treeSize"] == 1
        assert "ref=refs%2Ftags%2Fv1" in (tmp_path / "s" / "env.sh").read_text()
        time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == status
    assert ("keeps what was written" in errors) == (status == 0)


@pytest.mark.parametrize("claim", ["x", "=y", "a b=c"])
def test_a_claim_has_a_name_and_a_value(tmp_path: Path, claim: str) -> None:
    command = [sys.executable, "-m", "glassclave_sandbox", "services", "--state", "s", "--claim", claim]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 2
    assert "is not NAME=VALUE" in finished.stderr
    assert not (tmp_path / "s").exists()
