"""A Sigstore of real servers: Fulcio, a certificate log (CTFE), Rekor 1 and 2, a time-stamp authority.

CTFE and Rekor 1 keep their logs in Trillian, and Trillian keeps them in a PostgreSQL of its own. Every start
has new keys and empty logs. Fulcio reaches GitHub's token issuer under its real name, through a proxy that
answers in its place, and a second issuer at a plain address on loopback.

Some of the servers listen for metrics on every interface, two of them on one fixed port: they and the tests
that use them must be in a network of their own (`own_network`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from glassclave_sandbox.services.ca import make_signing_authority
from glassclave_sandbox.services.keys import make_log_key
from glassclave_sandbox.services.oidc import ISSUER
from tests.interop.network import HOST, answers, fetch, listens
from tests.interop.peers import PEERS, peer
from tests.interop.token_issuer import Issuers, serve_issuers

TOKENS, PROXY, FULCIO, REKOR, TSA, REKOR_2, TRILLIAN, SIGNER, CT, POSTGRESQL = range(9100, 9200, 10)
"""Ports, fixed, as nobody else is in this network. What is above one, up to the next, is its server's too."""
LOOPBACK_ISSUER = f"http://{HOST}:{TOKENS}"
STAMPS = f"http://{HOST}:{TSA}/api/v1/timestamp"
LOG = f"http://{HOST}:{REKOR}/api/v1/log"
PROGRAMS = (
    "cosign-3", "fulcio", "timestamp-server", "trillian_log_server", "trillian_log_signer", "createtree",
    "ct_server", "rekor-server", "rekor-server-posix", "postgresql",
)  # fmt: skip
FILES = ("fulcio-identity.yaml", "trillian-postgresql.sql")
CLIENT_TRUST_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
NOBODY = 65534
START_SECONDS = 60.0


@dataclass(frozen=True)
class RealSigstore:
    """The running servers, as a client sees them."""

    folder: Path
    issuers: Issuers

    @property
    def trusted_root(self) -> Path:
        """Whom to trust, alone."""
        return self.folder / "trusted_root.json"

    def signing_config(self, rekor: int = 1) -> Path:
        """Where to sign, alone."""
        return self.folder / f"signing_config.{rekor}.json"

    def trust_config(self, rekor: int = 1) -> Path:
        """Both in one file: a ClientTrustConfig, for ``--trust-config``."""
        return self.folder / f"trust_config.{rekor}.json"

    def environment(self, **claims: str) -> dict[str, str]:
        """What a GitHub job's steps see, and where cosign 2 finds this run's keys."""
        query = urlencode({"api-version": "2.0"} | claims)
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{LOOPBACK_ISSUER}/token?{query}",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.issuers.tokens.request_token,
            "SIGSTORE_ROOT_FILE": str(self.folder / "fulcio.pem"),
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(self.folder / "ct.pem"),
            "SIGSTORE_REKOR_PUBLIC_KEY": str(self.folder / "rekor.pem"),
            "SIGSTORE_TSA_CERTIFICATE_FILE": str(self.folder / "tsa.pem"),
        }


@contextmanager
def real_sigstore(folder: Path) -> Iterator[RealSigstore]:
    """All of it, started in the order in which they need each other."""
    _require_peers()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glassclave-postgresql-")))
        servers = _Servers(folder, [])
        stack.callback(_stop, servers.running)
        issuers = stack.enter_context(serve_issuers(folder, TOKENS, PROXY))
        _start_storage(servers, home)
        _start_time_stamps(servers)  # before Rekor, which does without the port that both want
        _make_authority(folder)
        _start_certificate_log(servers)
        _start_rekor(servers)
        _start_rekor_2(servers)
        _start_fulcio(servers)
        _write_trust(servers)
        yield RealSigstore(folder, issuers)


def _require_peers() -> None:
    for name in PROGRAMS:
        peer(name, brought_by="make peers")
    for name in FILES:
        if not (PEERS / "etc" / name).is_file():
            pytest.skip(f"{name} is not on this machine: `make peers` brings it")
    if os.geteuid() != 0:
        pytest.skip("the real Sigstore needs root, to run PostgreSQL as nobody")


# --- processes


@dataclass(frozen=True)
class _Servers:
    """Runs programs in ``folder``, where their logs lie too."""

    folder: Path
    running: list[subprocess.Popen[bytes]]

    def start(self, program: str, arguments: str, ready: Callable[[], bool], **environment: str) -> None:
        """A peer that lives until the end; returns when it is ready."""
        self.launch([peer(program), *arguments.split()], ready, environment)

    def launch(
        self, command: list[Path | str], ready: Callable[[], bool], environment: dict[str, str], **how: Any
    ) -> None:
        """The same, with whatever `subprocess` can do."""
        log = self.folder / f"{Path(command[0]).name}.log"
        settings: dict[str, Any] = {"cwd": self.folder, "env": self.environment() | environment} | how
        with log.open("wb") as out:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **settings
            )
        self.running.append(process)
        _wait(process, log, ready)

    def run(self, command: list[Path | str], **how: Any) -> bytes:
        """The output of a command that must succeed."""
        settings: dict[str, Any] = {"cwd": self.folder, "env": self.environment()} | how
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command, capture_output=True, timeout=120, check=False, **settings
        )
        if done.returncode != 0:
            said = done.stderr or done.stdout
            pytest.fail(f"{command!r}: {said[-2000:].decode(errors='replace')}")
        return bytes(done.stdout)

    def environment(self) -> dict[str, str]:
        """Nothing of the machine's but where programs are."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C", "TZ": "UTC"}


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """All at once. PostgreSQL, the first, leaves nothing behind as soon as its clients are gone."""
    for process in processes:
        process.terminate()
    for process in reversed(processes):
        try:
            process.wait(10 if process is processes[0] else 0.5)  # Trillian would take its time
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            pytest.fail(f"{log.stem} does not answer; its log ends:\n{said}")
        time.sleep(0.05)


# --- PostgreSQL and Trillian


def _start_storage(servers: _Servers, home: Path) -> None:
    _start_postgresql(servers, home)
    uri = f"postgresql://test@{HOST}:{POSTGRESQL}/postgres?sslmode=disable"
    storage = f"--storage_system=postgresql --quota_system=noop --postgresql_uri={uri} --logtostderr"
    servers.start(
        "trillian_log_server",
        f"{storage} --rpc_endpoint={HOST}:{TRILLIAN} --http_endpoint=",
        listens(TRILLIAN),
    )
    servers.start(
        "trillian_log_signer",
        f"""{storage} --rpc_endpoint={HOST}:{SIGNER} --http_endpoint= --force_master
            --sequencer_interval=100ms --batch_size=100""",
        listens(SIGNER),
    )


def _start_postgresql(servers: _Servers, home: Path) -> None:
    """As nobody, since it refuses root; the tables are made before it listens.

    From a copy: neither pytest's folder nor, perhaps, the one of the peers can be entered by nobody.
    """
    os.chown(home, NOBODY, NOBODY)
    program, data = home / "bin" / "postgresql", home / "data"
    program.parent.mkdir()
    shutil.copy(peer("postgresql"), program)
    shutil.copytree(PEERS / "postgresql", home / "postgresql", symlinks=True)
    nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
    servers.run([program, "initdb", "--no-sync", "-A", "trust", "-U", "test", "-D", data], **nobody)
    schema = (PEERS / "etc" / "trillian-postgresql.sql").read_bytes().rstrip() + b"\n\n"
    servers.run([program, "postgres", "--single", "-j", "-D", data, "postgres"], input=schema, **nobody)
    options = f"""-c listen_addresses={HOST} -c port={POSTGRESQL} -c unix_socket_directories=
                  -c fsync=off -c shared_buffers=32MB"""
    command: list[Path | str] = [program, "postgres", "-D", data, *options.split()]
    servers.launch(command, listens(POSTGRESQL), {}, **nobody)


# --- the services of Sigstore


def _start_time_stamps(servers: _Servers) -> None:
    servers.start(
        "timestamp-server",
        f"""serve --host {HOST} --port {TSA} --timestamp-signer memory --disable-ntp-monitoring
            --log-type prod""",
        answers(f"http://{HOST}:{TSA}/ping"),
    )
    (servers.folder / "tsa.pem").write_bytes(fetch(f"{STAMPS}/certchain"))


def _make_authority(folder: Path) -> None:
    """Fulcio's root and intermediate."""
    authority = make_signing_authority(at=datetime.now(UTC))
    key = authority.intermediate.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    (folder / "intermediate.key").write_bytes(key)
    (folder / "root.pem").write_bytes(authority.root.pem)
    (folder / "fulcio.pem").write_bytes(authority.intermediate.pem + authority.root.pem)


def _start_certificate_log(servers: _Servers) -> None:
    key = make_log_key()
    tree = servers.run([peer("createtree"), f"--admin_server={HOST}:{TRILLIAN}"]).decode().strip()
    private = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    escaped = "".join(f"\\x{byte:02x}" for byte in private)
    (servers.folder / "ct.pem").write_bytes(key.pem)
    (servers.folder / "ct.cfg").write_text(
        f"""config {{ log_id: {tree} prefix: "ct" roots_pem_file: "root.pem" ext_key_usages: "CodeSigning"
            private_key: {{ [type.googleapis.com/keyspb.PrivateKey] {{ der: "{escaped}" }} }} }}\n""",
        encoding="ascii",
    )
    servers.start(
        "ct_server",
        f"""--log_config ct.cfg --log_rpc_server {HOST}:{TRILLIAN} --http_endpoint {HOST}:{CT}
            --logtostderr""",
        answers(f"http://{HOST}:{CT}/ct/ct/v1/get-roots"),
    )


def _start_rekor(servers: _Servers) -> None:
    endpoints = ["getLogInfo", "getPublicKey", "getLogProof", "createLogEntry", "searchLogQuery"]
    endpoints += ["getLogEntryByIndex", "getLogEntryByUUID"]
    servers.start(
        "rekor-server",
        f"""serve --port {REKOR} --rekor_server.address {HOST} --rekor_server.hostname rekor.invalid
            --rekor_server.signer memory --trillian_log_server.address {HOST}
            --trillian_log_server.port {TRILLIAN} --enabled_api_endpoints {",".join(endpoints)}
            --enable_retrieve_api=false --log_type prod""",
        answers(LOG),
    )
    (servers.folder / "rekor.pem").write_bytes(fetch(f"{LOG}/publicKey"))


def _start_rekor_2(servers: _Servers) -> None:
    """Named localhost: clients compare the log's name with the host in its address."""
    key, folder = make_log_key(), servers.folder
    private = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "rekor2.key").write_bytes(private)
    (folder / "rekor2.pem").write_bytes(key.pem)
    (folder / "rekor2").mkdir()
    servers.start(
        "rekor-server-posix",
        f"""serve --http-address {HOST} --http-port {REKOR_2} --grpc-address {HOST} --grpc-port {REKOR_2 + 1}
            --http-metrics-port {REKOR_2 + 2} --hostname localhost --storage-dir {folder / "rekor2"}
            --signer-filepath rekor2.key --checkpoint-interval=200ms --batch-max-age=50ms""",
        answers(f"http://{HOST}:{REKOR_2}/healthz"),
    )


def _start_fulcio(servers: _Servers) -> None:
    """Its production configuration, cut down to GitHub: it asks every issuer named there when it starts."""
    shipped = yaml.safe_load((PEERS / "etc" / "fulcio-identity.yaml").read_text(encoding="utf-8"))
    github = shipped["oidc-issuers"][ISSUER]
    kind = github["ci-provider"]
    configuration = {
        "oidc-issuers": {ISSUER: github, LOOPBACK_ISSUER: github | {"issuer-url": LOOPBACK_ISSUER}},
        "ci-issuer-metadata": {kind: shipped["ci-issuer-metadata"][kind]},
    }
    (servers.folder / "fulcio.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    servers.start(
        "fulcio",
        f"""serve --host {HOST} --port {FULCIO} --grpc-host {HOST} --grpc-port {FULCIO + 1}
            --metrics-port {FULCIO + 2} --ca=fileca --fileca-cert fulcio.pem --fileca-key intermediate.key
            --fileca-key-passwd password --fileca-watch=false --ct-log-url http://{HOST}:{CT}/ct
            --ct-log-public-key-path ct.pem --config-path fulcio.yaml""",
        answers(f"http://{HOST}:{FULCIO}/healthz"),
        HTTPS_PROXY=f"http://{HOST}:{PROXY}",
        SSL_CERT_FILE=str(servers.folder / "issuer.pem"),
    )


# --- trust files, by cosign itself


def _write_trust(servers: _Servers) -> None:
    folder, since = servers.folder, f"start-time={datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    fulcio = f"url=http://{HOST}:{FULCIO}"
    logs = {1: f"url=http://{HOST}:{REKOR}", 2: f"url=http://localhost:{REKOR_2}"}
    servers.run(
        [peer("cosign-3"), *f"""trusted-root create --out trusted_root.json
            --fulcio={fulcio},certificate-chain=fulcio.pem,{since}
            --ctfe=url=http://{HOST}:{CT}/ct,public-key=ct.pem,{since}
            --rekor={logs[1]},public-key=rekor.pem,{since}
            --rekor={logs[2]},public-key=rekor2.pem,{since},origin=localhost
            --tsa=url={STAMPS},certificate-chain=tsa.pem,{since}""".split()]
    )  # fmt: skip
    root = json.loads((folder / "trusted_root.json").read_bytes())
    for version, log in logs.items():
        service, name = f"{since},operator=loopback", f"signing_config.{version}.json"
        servers.run(
            [peer("cosign-3"), *f"""signing-config create --out {name} --rekor-config=ANY --tsa-config=ANY
                --fulcio={fulcio},api-version=1,{service} --rekor={log},api-version={version},{service}
                --tsa=url={STAMPS},api-version=1,{service}
                --oidc-provider=url={ISSUER},api-version=1,{service}""".split()]
        )  # fmt: skip
        config = json.loads((folder / name).read_bytes())
        both = {"mediaType": CLIENT_TRUST_CONFIG, "trustedRoot": root, "signingConfig": config}
        (folder / f"trust_config.{version}.json").write_text(json.dumps(both), encoding="ascii")
