"""Time-stamps that rfc3161-client accepts, for exactly what was stamped."""

from collections.abc import Iterator

import pytest
from cryptography import x509
from rfc3161_client import TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response
from rfc3161_client.base import HashAlgorithm
from rfc3161_client.errors import VerificationError
from rfc3161_client.tsp import TimeStampRequest, TimeStampResponse

from glassclave_sandbox.services import Services, der
from tests.unit.sandbox.loopback import ask

SHA256 = "2.16.840.1.101.3.4.2.1"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services"), registry=False) as running:
        yield running


def stamp(services: Services, request: TimeStampRequest) -> TimeStampResponse:
    answer = ask("POST", f"{services.url}/api/v1/timestamp", request.as_bytes())
    assert (answer.status, answer.headers["Content-Type"]) == (201, "application/timestamp-reply")
    return decode_timestamp_response(answer.body)


@pytest.mark.parametrize("algorithm", [HashAlgorithm.SHA256, HashAlgorithm.SHA512])
@pytest.mark.parametrize("wants_certificate", [True, False])
def test_a_stamp_is_for_its_message_and_nonce(
    services: Services, algorithm: HashAlgorithm, wants_certificate: bool
) -> None:
    builder = TimestampRequestBuilder().data(b"signature").hash_algorithm(algorithm).nonce(nonce=True)
    request = builder.cert_request(cert_request=wants_certificate).build()
    response = stamp(services, request)
    leaf, root = x509.load_pem_x509_certificates((services.state / "tsa.pem").read_bytes())
    assert len(response.signed_data.certificates) == int(wants_certificate)
    strict = VerifierBuilder.from_request(request).tsa_certificate(leaf).add_root_certificate(root).build()
    assert strict.verify_message(response, b"signature")
    with pytest.raises(VerificationError):
        strict.verify_message(response, b"another")
    assert response.tst_info.nonce == request.nonce
    assert response.tst_info.policy.dotted_string == "1.3.6.1.4.1.57264.2"


def test_no_two_stamps_share_a_number(services: Services) -> None:
    request = TimestampRequestBuilder().data(b"x").build()
    numbers = {stamp(services, request).tst_info.serial_number for _ in range(3)}
    assert len(numbers) == 3


def query(*, version: int = 1, oid: str = SHA256, digest: bytes = bytes(32), rest: bytes = b"") -> bytes:
    algorithm = der.sequence(der.object_identifier(oid), der.null())
    return der.sequence(der.integer(version), der.sequence(algorithm, der.octets(digest)), rest)


@pytest.mark.parametrize(
    "data",
    [
        query(version=2),
        query(oid="1.3.14.3.2.26", digest=bytes(20)),
        query(digest=bytes(31)),
        query(rest=der.object_identifier("1.2.3")),
        query() + b"\0",
        query()[:-1],
        b"",
        b"\x30\x80\x00\x00",
    ],
)
def test_what_is_no_request_is_not_stamped(services: Services, data: bytes) -> None:
    assert ask("POST", f"{services.url}/api/v1/timestamp", query()).status == 201
    assert ask("POST", f"{services.url}/api/v1/timestamp", data).status == 400


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65536])
def test_lengths_are_read_as_written(length: int) -> None:
    assert der.read_one(der.octets(bytes(length)), der.OCTET_STRING).content == bytes(length)


def test_der_has_one_form() -> None:
    assert der.integer(128) == b"\x02\x02\x00\x80"
    assert der.integer(0) == b"\x02\x01\x00"
    assert der.object_identifier("1.2.840.113549") == bytes.fromhex("06062a864886f70d")
    assert der.set_of([b"\x02\x01\x02", b"\x02\x01\x01"]) == b"\x31\x06\x02\x01\x01\x02\x01\x02"
    for other_form in ("04810100", "0482008000", "0485000000000100", "04"):
        with pytest.raises(ValueError, match="DER"):
            der.read(bytes.fromhex(other_form))
