"""Logs beside an image: who may attach one, and which of those that are there somebody signed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from glassclave.digests import sha256_digest
from glassclave.errors import GlassclaveError, RefusedError, UnavailableError
from glassclave.flows.log import LogArchive
from glassclave.flows.log_referrer import attach_log, refuse_other_run, signed_logs
from glassclave.oci.log_artifact import plan_log
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, Descriptor
from glassclave.oci.referrers import MAX_REFERRERS
from glassclave.policy.checks.log import SignedLog
from glassclave.policy.model import Policy
from glassclave.provenance.bundle import claimed_predicate_type
from glassclave.provenance.claims import Claims
from glassclave.provenance.cosign import SIGN_PREDICATE_TYPE
from glassclave.provenance.logged import LOG_PREDICATE_TYPE, parse_log_predicate
from glassclave.provenance.predicate import PREDICATE_TYPE
from tests.unit.flows.logged import RUN, TEXT, job, made, state, state_run, with_log
from tests.unit.flows.published import EVIL, GOOD, REFERENCE, MemorySigstore, Published, whole
from tests.unit.flows.test_publish import MemorySigner, MemoryWriter

LOG = made()
FAILED = made(job("build"), job("test", conclusion="failure"))
POLICY = Policy(repository="acme/hello")


def found(published: Published, policy: Policy = POLICY) -> tuple[SignedLog, ...]:
    digest, logs = signed_logs(REFERENCE, policy, registry=published.registry, signatures=published.sigstore)
    assert digest == published.digest
    return logs


def codes(published: Published) -> list[tuple[bool, str]]:
    """Of each log: whether it is of the whole run, and the code of its one check."""
    logs = found(published)
    for one in logs:
        assert one.judged.passed == (one.judged.text is not None) == (one.judged.checks[0].code == "log")
    return [(one.whole_run, *(check.code for check in one.judged.checks)) for one in logs]  # type: ignore[misc]


def none(published: Published, policy: Policy = POLICY) -> str:
    with pytest.raises(RefusedError) as error:
        found(published, policy)
    return error.value.code


def test_the_log_of_the_build_and_that_of_the_run() -> None:
    published = with_log()
    published.keep_log(FAILED.record_file, FAILED.text_file)
    state_run(published, FAILED.claim)
    build, run = found(published)
    assert (build.whole_run, build.judged.record, build.judged.text) == (False, LOG.record, TEXT)
    assert (run.whole_run, run.judged.record) == (True, FAILED.record)
    assert run.signature.log_index == 9


def test_how_a_run_ended_is_told_and_is_no_failure() -> None:
    """Of the build's own log it is one."""
    published = with_log(FAILED)
    state_run(published, FAILED.claim)
    assert codes(published) == [(False, "log.job.failed"), (True, "log")]


def test_without_a_statement_a_log_is_nobodys() -> None:
    published = whole()
    published.keep_log(LOG.record_file, LOG.text_file)
    assert none(published) == "log.none"


def test_nobody_states_anything() -> None:
    published = Published()
    assert none(published) == "log.none"


@pytest.mark.parametrize("claims", [EVIL, replace(GOOD, runner_environment="self-hosted")])
def test_the_log_of_a_run_by_another_signer_is_left_out(claims: Claims) -> None:
    published = with_log()
    state_run(published, LOG.claim, claims)
    assert codes(published) == [(False, "log")]
    alone = whole()
    alone.keep_log(LOG.record_file, LOG.text_file)
    state_run(alone, LOG.claim, claims)
    assert none(alone) == "log.none"


def test_a_build_by_another_signer_says_why() -> None:
    assert none(with_log(), Policy(repository="acme/other")) == "statement.identity"


def test_the_log_of_a_run_without_one_of_the_build() -> None:
    published = whole()
    published.keep_log(LOG.record_file, LOG.text_file)
    state_run(published, LOG.claim)
    assert codes(published) == [(True, "log")]


def test_a_run_says_its_own_log() -> None:
    other = made(run=replace(RUN, run_id=778))
    published = with_log()
    published.keep_log(other.record_file, other.text_file)
    state_run(published, other.claim)
    assert codes(published) == [(False, "log"), (True, "log.run.mismatch")]


def test_a_log_of_a_run_that_is_gone() -> None:
    published = with_log()
    state_run(published, FAILED.claim)
    assert codes(published) == [(False, "log"), (True, "log.digest.mismatch")]


@pytest.mark.parametrize(
    ("predicate", "code"),
    [
        ({}, "field.missing"),
        ({"record": {"size": 1, "sha256": "00" * 32}, "more": 1}, "field.unknown"),
        ({"record": {"size": 1, "sha256": "00" * 32, "more": 1}}, "field.unknown"),
        ({"record": {"size": 1, "sha256": "00" * 31}}, "hex.size"),
        ({"record": {"size": -1, "sha256": "00" * 32}}, "field.range"),
    ],
)
def test_a_statement_about_a_run_is_read_strictly(predicate: dict[str, object], code: str) -> None:
    published = with_log()
    state_run(published, predicate)
    assert codes(published) == [(False, "log"), (True, code)]


@pytest.mark.parametrize("kind", [PREDICATE_TYPE, SIGN_PREDICATE_TYPE, "https://example.org/other"])
def test_a_statement_of_another_kind_is_about_no_log(kind: str) -> None:
    published = whole()
    published.keep_log(LOG.record_file, LOG.text_file)
    state_run(published, LOG.claim, kind=kind)
    with pytest.raises(RefusedError):
        found(published)


def test_a_measurement_is_no_statement_about_a_run() -> None:
    published = with_log()
    assert [one.whole_run for one in found(published)] == [False]


def test_what_was_made_for_another_image_is_left_out() -> None:
    published = whole()
    published.keep_log(LOG.record_file, LOG.text_file)
    state_run(published, LOG.claim, digest="sha256:" + "00" * 32)
    assert none(published) == "log.none"


@pytest.mark.parametrize("policy", [POLICY, Policy(repository="acme/other")])
def test_what_is_not_handed_out_is_never_taken_for_no_log(policy: Policy) -> None:
    published = with_log()
    plan = plan_log(LOG.record_file, LOG.text_file, published.subject)
    published.registry.lost.add(sha256_digest(plan.manifest))
    with pytest.raises(UnavailableError):
        found(published, policy)


def test_every_statement_of_a_build_is_judged() -> None:
    published = with_log()
    later = replace(GOOD, run_invocation_uri=(GOOD.run_invocation_uri or "").replace("777", "778"))
    state(published, LOG.claim, later, log=8)
    assert codes(published) == [(False, "log"), (False, "log.run.mismatch")]


def test_logs_of_runs_stand_in_the_order_in_which_they_were_signed() -> None:
    for logs in ((8, 9), (9, 8)):
        published = whole()
        for log, kept in zip(logs, (LOG, FAILED), strict=True):
            published.keep_log(kept.record_file, kept.text_file)
            state_run(published, kept.claim, log=log)
        assert [one.signature.log_index for one in found(published)] == [8, 9]


def test_a_statement_that_does_not_hold_is_why_there_is_no_log() -> None:
    published = Published()
    published.state(broken="signature.invalid")
    assert none(published) == "signature.invalid"


def test_a_statement_that_the_registry_withholds_might_have_named_a_log() -> None:
    for claims in (GOOD, EVIL):  # beside one that names none, and one of somebody else
        published = Published()
        published.state(claims)
        published.registry.lost.add(published.state(log=8))
        with pytest.raises(UnavailableError):
            found(published)


def attach(registry: MemoryWriter, log: LogArchive = LOG, claims: Claims = GOOD) -> None:
    @contextmanager
    def open_signer() -> Iterator[MemorySigner]:
        yield MemorySigner(claims)

    attach_log(REFERENCE, log, registry=registry, open_signer=open_signer)


def writable(published: Published) -> MemoryWriter:
    there = published.registry
    writer = MemoryWriter(there.manifests, there.tags, there.blobs, there.referrers)
    published.registry = writer
    return writer


def test_what_was_attached_is_found() -> None:
    published = with_log()
    registry = writable(published)
    before = len(registry.referrers)
    attach(registry, FAILED)
    assert [one.whole_run for one in found(published)] == [False, True]
    assert found(published)[1].judged.record == FAILED.record
    assert len(registry.referrers) == before + 2
    assert published.verify().verdict.passed


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"run_id": 778}, "log.run.mismatch"),
        ({"attempt": 2}, "log.run.mismatch"),
        ({"commit": "00" * 20}, "log.commit.mismatch"),
        ({"repository": "acme/evil"}, "log.repository.mismatch"),
    ],
)
def test_another_runs_log_is_not_signed(change: dict[str, object], code: str) -> None:
    registry = writable(whole())
    before = len(registry.referrers)
    other = made(run=replace(RUN, **change))  # type: ignore[arg-type]  # of any field
    with pytest.raises(RefusedError) as error:
        attach(registry, other)
    assert error.value.code == code
    assert (len(registry.referrers), registry.written) == (before, [])
    with pytest.raises(RefusedError):
        refuse_other_run(other, GOOD)
    refuse_other_run(LOG, GOOD)


@pytest.mark.parametrize("field", ["source_repository_uri", "source_repository_digest", "run_invocation_uri"])
def test_a_certificate_that_does_not_say_its_run_signs_no_log(field: str) -> None:
    with pytest.raises(RefusedError):
        refuse_other_run(LOG, replace(GOOD, **{field: None}))


def test_a_log_that_would_be_one_referrer_too_many_is_not_attached() -> None:
    """Beyond that number nobody could judge the image any more."""
    registry = writable(whole())
    while len(registry.referrers) < MAX_REFERRERS - 1:
        number = len(registry.referrers)
        registry.referrers.append(Descriptor(MANIFEST_MEDIA_TYPE, f"sha256:{number:064x}", 7))
    with pytest.raises(RefusedError) as error:
        attach(registry)
    assert error.value.code == "publish.referrers.count"
    assert registry.written == []
    registry.referrers.pop()
    attach(registry)
    assert len(registry.referrers) == MAX_REFERRERS


def test_what_is_no_image_gets_no_log() -> None:
    published = Published(bend=lambda manifest: manifest.update(artifactType="application/x-other"))
    with pytest.raises(GlassclaveError):
        attach(writable(published))


def test_what_is_signed_is_about_the_image_and_names_the_record() -> None:
    published = whole()
    registry = writable(published)
    attach(registry)
    bundles = [data for data in registry.blobs.values() if claimed_predicate_type(data) == LOG_PREDICATE_TYPE]
    (signed,) = (MemorySigstore().verify_bundle(data) for data in bundles)
    assert published.digest[7:].encode() in signed.payload
    assert LOG.claim.sha256.hex().encode() in signed.payload
    claim = {"record": {"size": LOG.claim.size, "sha256": LOG.claim.sha256.hex()}}
    assert parse_log_predicate(claim) == LOG.claim
