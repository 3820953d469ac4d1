from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from glassclave.clients.http import TransientError, Web, is_loopback, retrying, target_of
from glassclave.errors import UnavailableError
from tests.registry_server import serving


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.now(UTC) - timedelta(hours=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with serving(tls=context) as server:
        url = f"https://{server.address}/v2/"
        with pytest.raises(UnavailableError) as caught, Web().send("GET", url, {}):
            pytest.fail("the certificate was accepted")
        assert caught.value.code == "registry.tls"
        assert not isinstance(caught.value, TransientError)
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        with Web().send("GET", url, {}) as reply:
            assert reply.status == 404


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.9", "::1"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["localhost.example", "127.0.0.1.example", "128.0.0.1", "0.0.0.0", "::", "10.0.0.1", "2130706433", ""],
)
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    ["http://ghcr.io/v2/", "https:///v2/", "https://ghcr.io:x/", "https://[ghcr.io/", "https://h/é", "//h/"],
)
def test_urls_that_are_not_asked(url: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        target_of(url)
    assert caught.value.code == "registry.url"


def test_default_ports_are_the_same_place() -> None:
    assert target_of("https://ghcr.io/a") == target_of("https://GHCR.io:443/b?c")
    assert target_of("https://ghcr.io/a") != target_of("https://ghcr.io:444/a")
    assert target_of("http://localhost/") != target_of("http://127.0.0.1/")


def test_what_is_no_outage_is_not_tried_again() -> None:
    tries: list[int] = []

    def operation() -> None:
        tries.append(1)
        raise UnavailableError("registry.tls", "no")

    with pytest.raises(UnavailableError):
        retrying(operation, lambda wait: None)
    assert tries == [1]
