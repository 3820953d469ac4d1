"""The word of a rebuild beside an artifact: pushed, found again, and never taken for more than it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from glassclave.errors import GlassclaveError, RefusedError, UnavailableError
from glassclave.flows.rebuild import rebuild_predicate
from glassclave.flows.rebuild_sign import sign_rebuild
from glassclave.oci.manifest import Descriptor
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import MAX_REFERRERS
from glassclave.progress import Silent
from glassclave.provenance.claims import Claims
from glassclave.provenance.cosign import SIGN_PREDICATE_TYPE
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.predicate import PREDICATE_TYPE
from glassclave.provenance.rebuild import REBUILD_TYPE, RebuildPredicate, Rebuilt, rebuild_predicate_record
from glassclave.provenance.statement import build_statement
from glassclave.results import Finding, Measurements
from tests.unit.flows.published import COMMIT, EVIL, GOOD, NAME, Published, seal, whole
from tests.unit.flows.seed import ACCEPTING
from tests.unit.flows.test_publish import MemorySigner, MemoryWriter
from tests.unit.provenance.predicates import SIGNED

CONTAINER = SIGNED.claimed.container or pytest.fail("the fixture has one")


def rebuilt_of(measured: Measurements) -> Rebuilt:
    return Rebuilt(
        repository="acme/hello",
        commit=COMMIT,
        folder="app",
        published=measured,
        found=measured,
        files=(),
        why_not=None,
        surroundings=(),
        container=CONTAINER,
    )


@dataclass
class Place:
    """A published artifact in a registry that can be written to."""

    published: Published
    registry: MemoryWriter

    @classmethod
    def make(cls) -> Place:
        published = whole()
        old = published.registry
        registry = MemoryWriter(old.manifests, old.tags, old.blobs, old.referrers)
        published.registry = registry
        return cls(published, registry)

    @property
    def measured(self) -> Measurements:
        return self.published.predicate.measured.measurements

    @property
    def predicate(self) -> RebuildPredicate:
        return rebuild_predicate(rebuilt_of(self.measured))

    def sign(self, signer: MemorySigner | None = None, rebuilt: Rebuilt | None = None) -> VerifiedSignature:
        @contextmanager
        def open_signer() -> Iterator[MemorySigner]:
            yield signer or MemorySigner()

        return sign_rebuild(
            Reference("registry.example", "o/r", digest=self.published.digest),
            rebuilt or rebuilt_of(self.measured),
            registry=self.registry,
            signatures=self.published.sigstore,
            open_signer=open_signer,
            progress=Silent(),
        )

    def say(
        self,
        predicate: RebuildPredicate | dict[str, object] | None = None,
        *,
        kind: str = REBUILD_TYPE,
        digest: str | None = None,
        claims: Claims = GOOD,
        broken: str | None = None,
        payload_type: str | None = None,
    ) -> None:
        """A statement of a rebuild as anybody could push it."""
        said = predicate or self.predicate
        record = rebuild_predicate_record(said) if isinstance(said, RebuildPredicate) else said
        payload = build_statement(NAME, (digest or self.published.digest)[7:], record, predicate_type=kind)
        self.published.refer(seal(payload, claims, log=9, broken=broken, kind=payload_type))

    def findings(self) -> list[Finding]:
        verdict = self.published.verify().verdict
        assert (verdict.level.value, verdict.passed) == ("provenance", True)
        return [one for one in verdict.findings if one.code.startswith(("rebuild.", "signature.other"))]


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(GlassclaveError) as caught:
        action()
    return caught.value.code


def test_it_is_pushed_found_and_told() -> None:
    place = Place.make()
    assert place.findings() == []
    before = len(place.registry.referrers)
    signature = place.sign()
    assert signature.claims == GOOD
    assert len(place.registry.referrers) == before + 1
    (finding,) = place.findings()
    assert finding.code == "rebuild.own"
    place.sign()
    assert [one.code for one in place.findings()] == ["rebuild.own"]


def test_what_differs_is_signed_by_nobody() -> None:
    place = Place.make()
    other = replace(rebuilt_of(place.measured), found=replace(place.measured, pcr2=b"x" * 48))
    with pytest.raises(ValueError, match="not signed"):
        place.sign(rebuilt=other)
    assert place.registry.written == []


@pytest.mark.parametrize(("there", "fits"), [(MAX_REFERRERS - 1, True), (MAX_REFERRERS, False)])
def test_there_must_be_room_for_one_more(there: int, fits: bool) -> None:
    place = Place.make()
    (last,) = place.registry.referrers[-1:]
    missing = there - len(place.registry.referrers)
    for number in range(missing):
        place.registry.referrers.append(Descriptor(last.media_type, f"sha256:{number:064x}", 2))
    if fits:
        # What cannot be fetched keeps nobody from finding ours.
        place.registry.lost |= {one.digest for one in place.registry.referrers[-missing:]}
        assert place.sign().claims == GOOD
        return
    assert code_of(place.sign) == "publish.referrers.count"
    assert place.registry.written == []


def test_what_does_not_hold_is_noticed_by_the_one_who_pushed_it() -> None:
    place = Place.make()
    assert code_of(lambda: place.sign(MemorySigner(broken="signature.invalid"))) == "rebuild.read-back"
    with pytest.raises(RefusedError):
        place.sign(MemorySigner(broken="signature.trust-root"))
    with pytest.raises(UnavailableError):
        place.sign(MemorySigner(fails=True))
    place.registry.lost.add(place.registry.referrers[-1].digest)
    with pytest.raises(UnavailableError):  # what is not handed out might be it
        place.sign(MemorySigner(broken="signature.invalid"))


BENT: dict[str, Callable[[Place], None]] = {
    "does not hold": lambda place: place.say(broken="signature.invalid"),
    "of another root": lambda place: place.say(broken="signature.trust-root"),
    "about another artifact": lambda place: place.say(digest="sha256:" + "00" * 32),
    "other PCRs": lambda place: place.say(
        replace(place.predicate, measurements=replace(place.measured, pcr0=b"x" * 48))
    ),
    "another commit": lambda place: place.say(replace(place.predicate, commit="00" * 20)),
    "another repository": lambda place: place.say(
        replace(place.predicate, repository="https://github.com/acme/evil")
    ),
    "one field more": lambda place: place.say({**rebuild_predicate_record(place.predicate), "at": "now"}),
    "not equal": lambda place: place.say(
        {**rebuild_predicate_record(place.predicate), "result": "different"}
    ),
    "nothing in it": lambda place: place.say({"x": 1}),
    "no statement": lambda place: place.say(payload_type="text/plain"),
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT)
def test_one_that_says_something_else_is_an_attestation_like_any_other(bend: Callable[[Place], None]) -> None:
    place = Place.make()
    bend(place)
    (finding,) = place.findings()
    assert finding.code == "signature.other-attestation"
    assert finding.message.endswith(REBUILD_TYPE)
    # It neither hides a good one nor is hidden by it.
    place.say()
    assert sorted(one.code for one in place.findings()) == ["rebuild.own", "signature.other-attestation"]


def test_a_rebuild_is_no_signature_and_no_statement_of_measurements() -> None:
    """By whomever, and however often: an image that nobody signed stays unsigned."""
    for claims in (GOOD, EVIL):
        place = Place(Published(), MemoryWriter())
        place.say(claims=claims)
        assert place.published.failures() == ["signature.none"]
        place.published.sign()
        assert place.published.failures() == ["statement.none"]


@pytest.mark.parametrize("kind", [SIGN_PREDICATE_TYPE, PREDICATE_TYPE])
def test_its_words_under_another_type_are_refused(kind: str) -> None:
    place = Place(Published(), MemoryWriter())
    place.say(kind=kind)
    if kind == SIGN_PREDICATE_TYPE:
        # cosign's type has no content that is read: then it is a signature, by the one who signed it as that.
        assert place.published.failures() == ["statement.none"]
        return
    place.published.sign()
    (code,) = place.published.failures()
    assert code.startswith("field.")


def test_measurements_under_its_type_are_no_rebuild() -> None:
    place = Place.make()
    from glassclave.provenance.predicate import predicate_record

    place.say(predicate_record(place.published.predicate))
    assert [one.code for one in place.findings()] == ["signature.other-attestation"]


def test_of_several_that_say_something_else_one_line_tells() -> None:
    place = Place.make()
    BENT["does not hold"](place)
    BENT["other PCRs"](place)
    assert [one.code for one in place.findings()] == ["signature.other-attestation"]


@pytest.mark.parametrize("stated", [True, False])
def test_of_an_image_that_is_not_the_stated_one_or_that_nobody_states_it_is_not_told(stated: bool) -> None:
    place = Place(Published(), MemoryWriter())
    place.published.sign()
    if stated:
        wrong = replace(place.measured, pcr0=b"x" * 48)
        place.published.state(
            bend=lambda one: replace(one, measured=replace(one.measured, measurements=wrong))
        )
    place.say()
    verdict = place.published.verify(policy=ACCEPTING).verdict
    assert verdict.passed is not stated
    assert [one for one in verdict.findings if one.code.startswith(("rebuild.", "signature.other"))] == []


def test_where_the_image_is_refused_nothing_is_told_of_rebuilds() -> None:
    place = Place(Published(), MemoryWriter())
    place.published.sign(EVIL)
    place.published.state(EVIL)
    place.say()
    verdict = place.published.verify().verdict
    assert not verdict.passed
    assert [one for one in verdict.findings if one.code.startswith("rebuild.")] == []
