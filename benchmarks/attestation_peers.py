"""Asks other people's verifiers, in an interpreter that has only what they need (`requirements/bench.txt`).

Reads an order in JSON and answers in JSON: for each, seconds of each sample, or why it cannot be timed.
"""

from __future__ import annotations

import base64
import importlib
import json
import logging
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def epsilon(order: dict[str, Any]) -> Callable[[], object]:
    verifier = importlib.import_module("epsilon_verifier")

    def verify() -> None:
        result = verifier.verify_attestation(
            order["document"],
            expected_pcr0=order["pcrs"]["0"],
            expected_pcr1=order["pcrs"]["1"],
            expected_pcr2=order["pcrs"]["2"],
            aws_root_cert_path=order["root"],
        )
        assert result.valid, result.error

    return verify


def pycape(order: dict[str, Any]) -> Callable[[], object]:
    verifier = importlib.import_module("pycape._attestation")
    root, document = Path(order["root"]).read_bytes(), base64.b64decode(order["document"])
    pcrs = {index: [value] for index, value in order["pcrs"].items()}

    def verify() -> None:
        verifier.verify_pcrs(pcrs, verifier.parse_attestation(document, root))

    return verify


def evervault(order: dict[str, Any]) -> Callable[[], object]:
    bindings = importlib.import_module("evervault_attestation_bindings")
    # It judges a document together with the TLS certificate that vouches for it, under AWS's root only.
    certificate = ssl.PEM_cert_to_DER_cert(Path(order["root"]).read_text(encoding="ascii"))
    pcrs = bindings.PCRs(*(order["pcrs"][str(index)] for index in (0, 1, 2)), None)

    def verify() -> None:
        bindings.attest_enclave(certificate, [pcrs], base64.b64decode(order["document"]))

    return verify


VERIFIERS = {
    "epsilon-attestation-verifier": epsilon,
    "pycape": pycape,
    "evervault-attestation-bindings": evervault,
}


def sampled(verify: Callable[[], object], samples: int, per_sample: int) -> list[float]:
    found = []
    for _ in range(samples):
        started = time.perf_counter()
        for _ in range(per_sample):
            verify()
        found.append((time.perf_counter() - started) / per_sample)
    return found


def main() -> None:
    """Each in turn; one that refuses a good document has its words for an answer."""
    logging.disable()
    order = json.load(sys.stdin)
    answers: dict[str, list[float] | str] = {}
    for name, prepare in VERIFIERS.items():
        try:
            verify = prepare(order)
            verify()
            answers[name] = sampled(verify, order["samples"], order["perSample"])
        except Exception as error:  # noqa: BLE001 - whatever it says is the answer
            answers[name] = f"{type(error).__name__}: {error}"[:250]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
