"""What somebody says who built a published image again (``docs/spec/rebuild-v1.md``).

It is a word of whoever signed it, and about equality alone: nothing else is ever signed. There is no time in
it; the time is the signature's. It is read as strictly as a measurement, and is never taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.fields import Fields
from glassclave.provenance.container import ContainerClaim
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.strict import hex_text, nullable_text
from glassclave.results import PCR_SIZE, FileDifference, Measurements
from glassclave.sources import is_commit

REBUILD_TYPE = "https://glassclave.github.io/spec/rebuild/v1"
EQUAL = "equal"
HASH_ALGORITHM = "SHA384"
MAX_DIFFERENCES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrounding:
    """Something around a build that was another one: ``what`` (``base debian:12``), as the published image's
    builder stated it, and as it was at the rebuild; ``None``: not told."""

    what: str
    stated: str | None
    found: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildPredicate:
    """Built again, with equal PCR0, PCR1 and PCR2 (48 bytes each, in ``measurements``; PCR8 is never there).

    ``repository``: address of the source; ``commit``: 40 or 64 hex digits.
    """

    measurements: Measurements
    repository: str
    commit: str
    tool_name: str
    tool_version: str
    builder_name: str
    builder_version: str
    surroundings: tuple[Surrounding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What came out of building again ``folder`` of ``repository`` (``owner/name``) at ``commit``.

    ``files``: what differs, ``None`` where that could not be told (``why_not``). ``container``: how it was
    made.
    """

    repository: str
    commit: str
    folder: str
    published: Measurements
    found: Measurements
    files: tuple[FileDifference, ...] | None
    why_not: str | None
    surroundings: tuple[Surrounding, ...]
    container: ContainerClaim

    @property
    def equal(self) -> bool:
        """Whether PCR0, PCR1 and PCR2 are the same. PCR8 is a signature's, which nobody can make again."""
        return not self.different_registers

    @property
    def different_registers(self) -> tuple[int, ...]:
        """Of the three, those that differ."""
        published, found = self.published.by_index(), self.found.by_index()
        return tuple(index for index in (0, 1, 2) if published[index] != found[index])


@dataclass(frozen=True, slots=True)
class SignedRebuild:
    """A rebuild statement whose signature holds."""

    signature: VerifiedSignature
    predicate: RebuildPredicate


def rebuild_predicate_record(predicate: RebuildPredicate) -> dict[str, object]:
    """As a JSON value with its keys in the order of the specification."""
    measured = predicate.measurements
    registers = {"PCR0": measured.pcr0, "PCR1": measured.pcr1, "PCR2": measured.pcr2}
    return {
        "result": EQUAL,
        "hashAlgorithm": HASH_ALGORITHM,
        "pcrs": {name: value.hex() for name, value in registers.items()},
        "source": {"repository": predicate.repository, "commit": predicate.commit},
        "tool": {"name": predicate.tool_name, "version": predicate.tool_version},
        "builder": {"name": predicate.builder_name, "version": predicate.builder_version},
        "surroundings": [
            {"what": one.what, "stated": one.stated, "found": one.found} for one in predicate.surroundings
        ],
    }


def parse_rebuild(value: Mapping[str, object], *, source: str) -> RebuildPredicate:
    """Strictly read. Raises `ParseError` ``field.*``, ``hex.*``, ``claims.commit``."""
    fields = Fields(value, source=source)
    fields.only("result", "hashAlgorithm", "pcrs", "source", "tool", "builder", "surroundings")
    _exactly(fields, "result", EQUAL)
    _exactly(fields, "hashAlgorithm", HASH_ALGORITHM)
    pcrs, origin = fields.child("pcrs"), fields.child("source")
    tool, builder = fields.child("tool"), fields.child("builder")
    pcrs.only("PCR0", "PCR1", "PCR2")
    origin.only("repository", "commit")
    for program in (tool, builder):
        program.only("name", "version")
    commit = origin.text("commit")
    if not is_commit(commit):
        raise ParseError("claims.commit", "must be 40 or 64 lower-case hex digits", field=origin.at("commit"))
    return RebuildPredicate(
        measurements=Measurements(
            pcr0=hex_text(pcrs, "PCR0", PCR_SIZE),
            pcr1=hex_text(pcrs, "PCR1", PCR_SIZE),
            pcr2=hex_text(pcrs, "PCR2", PCR_SIZE),
        ),
        repository=origin.text("repository"),
        commit=commit,
        tool_name=tool.text("name"),
        tool_version=tool.text("version"),
        builder_name=builder.text("name"),
        builder_version=builder.text("version"),
        surroundings=tuple(
            _parse_surrounding(one) for one in fields.objects("surroundings", limit=MAX_DIFFERENCES)
        ),
    )


def _exactly(fields: Fields, name: str, wanted: str) -> None:
    if fields.text(name) != wanted:
        raise ParseError("field.value", f"must be {wanted}", field=fields.at(name), source=fields.source)


def _parse_surrounding(fields: Fields) -> Surrounding:
    fields.only("what", "stated", "found")
    return Surrounding(
        what=fields.text("what"),
        stated=nullable_text(fields, "stated"),
        found=nullable_text(fields, "found"),
    )
