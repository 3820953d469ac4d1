"""One document judged in this process, beside its five bare signatures, and beside other verifiers."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from benchmarks.measure import LeftOut, Table, in_turn, timed
from benchmarks.setting import Setting, alone
from glassclave.attestation import chain
from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.document import parse_document
from glassclave.attestation.expectation import Expected, Live
from glassclave.attestation.roots import TrustAnchor
from glassclave.cose import to_be_signed
from glassclave_sandbox.authority import Issuer, make_root
from glassclave_sandbox.names import milliseconds
from glassclave_sandbox.nsm import SoftwareNsm

BARE = "five bare P-384 verifications"
OURS = "attestation verify"
COLD = "attestation verify, certificates never seen before"
PER_SAMPLE = 20
REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements" / "bench.txt"
WORKER = Path(__file__).with_name("attestation_peers.py")


def attestation(setting: Setting) -> Table:
    """A document of the sandbox's, made now: the peers judge at the present time only."""
    table = Table("attestation verify, one document in-process")
    at = datetime.now(UTC)
    root, nonce = make_root(at=at), secrets.token_bytes(32)
    pcrs = {index: secrets.token_bytes(48) for index in (0, 1, 2)}
    document = SoftwareNsm(root, at=at).document(pcrs=pcrs, timestamp_ms=milliseconds(at), nonce=nonce)
    found = in_turn(
        {
            BARE: _sampled(_bare(document)),
            OURS: _sampled(_ours(document, pcrs, nonce, root)),
            COLD: _sampled(_cold(_ours(document, pcrs, nonce, root))),
        },
        setting.rounds(15),
    )
    table.time(BARE, found[BARE])
    table.slower(OURS, found[OURS], BARE, 1.3)
    table.slower(COLD, found[COLD], BARE, 1.3)
    _peers(table, setting, document, pcrs, root)
    return table


def _sampled(work: Callable[[], object]) -> Callable[[], float]:
    def sample() -> float:
        return timed(lambda: [work() for _ in range(PER_SAMPLE)]) / PER_SAMPLE

    return sample


def _ours(document: bytes, pcrs: dict[int, bytes], nonce: bytes, root: Issuer) -> Callable[[], object]:
    anchor = TrustAnchor(name="the sandbox's root", der=root.der)
    expected = Expected(pcrs=pcrs)

    def judge() -> None:
        mode = Live(nonce=nonce, at=datetime.now(UTC))
        appraisal = appraise_document(document, expected=expected, mode=mode, roots=[anchor])
        assert appraisal.passed, appraisal.checks

    return judge


def _cold(work: Callable[[], object]) -> Callable[[], object]:
    """Documents of one host share certificates, which are remembered: here they are forgotten each time."""

    def judge() -> None:
        chain._certificate.cache_clear()
        work()

    return judge


def _bare(document: bytes) -> Callable[[], object]:
    """The same five signatures, with everything around them done beforehand."""
    parsed = parse_document(document)
    path = [x509.load_der_x509_certificate(der) for der in (*parsed.cabundle, parsed.certificate)]
    keys = [certificate.public_key() for certificate in path]
    raw = parsed.sign1.signature
    signature = utils.encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    work = [
        (key, certificate.signature, certificate.tbs_certificate_bytes)
        for key, certificate in zip(keys, path[1:], strict=False)
    ]
    work.append((keys[-1], signature, to_be_signed(parsed.sign1.protected, parsed.sign1.payload)))
    assert len(work) == 5

    def verify() -> None:
        for key, one, data in work:
            assert isinstance(key, ec.EllipticCurvePublicKey)
            key.verify(one, data, ec.ECDSA(hashes.SHA384()))

    return verify


def _peers(table: Table, setting: Setting, document: bytes, pcrs: dict[int, bytes], root: Issuer) -> None:
    """Other people's verifiers, in an interpreter with their own requirements."""
    names = ("epsilon-attestation-verifier", "pycape", "evervault-attestation-bindings")
    try:
        said = _ask_peers(setting, document, pcrs, root)
    except LeftOut as reason:
        for name in names:
            table.left_out(name, reason)
        return
    for name in names:
        answer = said[name]
        if isinstance(answer, str):
            table.left_out(name, answer)
        else:
            table.slower(name, answer, BARE)


def _ask_peers(
    setting: Setting, document: bytes, pcrs: dict[int, bytes], root: Issuer
) -> dict[str, list[float] | str]:
    place = setting.folder / "verifiers"
    (setting.folder / "root.pem").write_bytes(root.pem)
    environment = setting.environment(PYTHONPATH=str(place), PYTHONDONTWRITEBYTECODE="1")
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    where = ["--only-binary", ":all:", "--target", str(place), "-r", str(REQUIREMENTS)]
    # pip asks the machine's own index, so it gets the machine's own environment.
    done = subprocess.run([sys.executable, *pip, *where], capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise LeftOut("requirements/bench.txt cannot be installed here")
    order = {
        "document": base64.b64encode(document).decode(),
        "pcrs": {str(index): value.hex() for index, value in pcrs.items()},
        "root": str(setting.folder / "root.pem"),
        "samples": setting.rounds(15),
        "perSample": PER_SAMPLE,
    }
    done = subprocess.run(
        [sys.executable, "-S", str(WORKER)],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise LeftOut(f"the other verifiers cannot be asked: {done.stderr[-300:]}")
    said: dict[str, list[float] | str] = json.loads(done.stdout)
    return said


if __name__ == "__main__":
    alone(attestation)
