"""The vectors of tests/vectors/attestation with their index entries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cbor2

from glassclave.attestation.expectation import Expected
from glassclave.attestation.roots import TrustAnchor, parse_root

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "attestation"
ANY = Expected(pcrs=dict.fromkeys((0, 1, 2), b"\x01" * 48))
"""For documents that must be refused before, or whatever, their PCRs say."""


@dataclass(frozen=True)
class Genuine:
    """A document that AWS signed."""

    path: Path
    entry: dict[str, object]

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def pcrs(self) -> dict[int, bytes]:
        """PCR0 to 2 as the index has them."""
        return {index: bytes.fromhex(str(self.entry[f"pcr{index}"])) for index in (0, 1, 2)}


@dataclass(frozen=True)
class Hostile:
    """A made or broken document and what is to become of it."""

    path: Path
    expect: str
    at: datetime
    root: str

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def roots(self) -> list[TrustAnchor] | None:
        """``None`` for AWS's root."""
        if self.root == "aws-g1":
            return None
        name = "mock/root.pem" if self.root == "mock" else self.root
        return [parse_root((FOLDER / "hostile" / name).read_bytes(), source=name)]

    @property
    def expected(self) -> Expected:
        """The PCRs that the document itself claims, read by cbor2, so that nothing fails for their sake."""
        try:
            outer = cbor2.loads(self.data)
            parts = outer.value if isinstance(outer, cbor2.CBORTag) else outer
            pcrs = cbor2.loads(parts[2])["pcrs"]
            claimed = {index: pcrs[index] for index in (0, 1, 2)}
        except (cbor2.CBORDecodeError, TypeError, KeyError, IndexError, ValueError):
            return ANY
        usable = all(
            isinstance(value, bytes) and len(value) == 48 and any(value) for value in claimed.values()
        )
        return Expected(pcrs=claimed) if usable else ANY


def _index(path: Path, name: str) -> list[dict[str, object]]:
    entries = json.loads(path.read_text(encoding="utf-8"))[name]
    assert isinstance(entries, list)
    return entries


GENUINE = [
    Genuine(FOLDER / str(entry["file"]), entry) for entry in _index(FOLDER / "index.json", "documents")
]
HOSTILE = [
    Hostile(
        FOLDER / "hostile" / str(entry["file"]),
        str(entry["expect"]),
        datetime.fromisoformat(str(entry["verify_at"])),
        str(entry["trust_root"]),
    )
    for entry in _index(FOLDER / "hostile" / "index.json", "vectors")
]
PRODUCTION = [one for one in GENUINE if one.entry["kind"] == "enclave" and not one.entry["debug"]]
DEBUG = [one for one in GENUINE if one.entry["kind"] == "enclave" and one.entry["debug"]]
NITROTPM = [one for one in GENUINE if one.entry["kind"] != "enclave"]
