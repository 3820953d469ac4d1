"""The step `log` of a verdict: a good image with its log, and the smallest change that flips one check."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from glassclave.buildlog.record import MAX_RECORD, LoggedJob, record_digest
from glassclave.buildlog.text import MAX_COMPRESSED, compress, decompress
from glassclave.digests import sha256_digest
from glassclave.errors import UnavailableError
from glassclave.flows.log import LogArchive
from glassclave.oci.log_artifact import plan_log
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, Descriptor
from glassclave.policy.model import LOG_ANY, LOG_REQUIRED, Policy
from glassclave.provenance.logged import LOG_PREDICATE_TYPE
from glassclave.provenance.predicate import PREDICATE_TYPE
from glassclave.results import Check, Status
from tests.unit.flows.logged import RUN, TEXT, bent, job, made, state, state_run, with_log
from tests.unit.flows.published import EVIL, GOOD, Published, whole

LOG = made()
REQUIRED = Policy(repository="acme/hello", build_log=LOG_REQUIRED)
ANY = Policy(repository="acme/hello", build_log=LOG_ANY)


def judged(published: Published, policy: Policy | None = None) -> Check:
    """The check of the step; the other steps are as without a log."""
    verdict = published.verify(policy=policy).verdict
    failed = {check.step for check in verdict.checks if check.status is Status.FAIL}
    assert failed <= {"log"}
    assert verdict.passed == (not failed)
    (check,) = (check for check in verdict.checks if check.step == "log")
    return check


def test_a_log_that_was_signed_with_the_image() -> None:
    check = judged(with_log(), REQUIRED)
    assert (check.status, check.code) == (Status.PASS, "log")
    assert check.message == "3 lines of build, from GitHub's API, 1 place masked"


def refused(log: LogArchive, **beside: bytes) -> str:
    """The code for an image whose statement names exactly ``log``."""
    kept = LogArchive(beside.get("record", log.record_file), beside.get("text", log.text_file), log.record)
    check = judged(with_log(kept, stated=log.claim))
    assert check.status is Status.FAIL
    return check.code


def put_job(**change: object) -> LogArchive:
    (one,) = LOG.record.jobs
    jobs: tuple[LoggedJob, ...] = (replace(one, **change),)  # type: ignore[arg-type]  # of any field
    return bent(LOG, jobs=jobs)


TWO = made(job(), job("sign", conclusion="failure"))


@pytest.mark.parametrize(
    ("log", "code"),
    [
        (made(run=replace(RUN, repository="acme/hullo")), "log.repository.mismatch"),
        (made(run=replace(RUN, commit="7f3f" + RUN.commit[4:])), "log.commit.mismatch"),
        (made(run=replace(RUN, run_id=778)), "log.run.mismatch"),
        (made(run=replace(RUN, run_id=77)), "log.run.mismatch"),
        (made(run=replace(RUN, attempt=2)), "log.run.mismatch"),
        (made(run=replace(RUN, attempt=11)), "log.run.mismatch"),
        (made(job(conclusion="failure")), "log.job.failed"),
        (made(job(conclusion="cancelled")), "log.job.failed"),
        (made(job(conclusion=None)), "log.job.failed"),
        (TWO, "log.job.failed"),
        (bent(put_job(conclusion="failure"), origin="job", jobs=put_job(conclusion="failure").record.jobs),
         "log.job.failed"),
        (bent(LOG, text_sha256=bytes(32)), "log.text.mismatch"),
        (bent(LOG, text_size=len(TEXT) - 1), "log.gzip"),
        (bent(LOG, text_size=len(TEXT) + 1), "log.gzip"),
        (bent(LOG, text_size=1 << 40), "log.size"),
        (bent(put_job(lines=4), text_lines=4), "log.text.mismatch"),
        (bent(put_job(lines=10**18), text_lines=10**18), "log.text.mismatch"),
        (bent(LOG, text_lines=4), "log.record"),
        (bent(LOG, origin="elsewhere"), "log.record"),
        (bent(LOG, scan=replace(LOG.record.scan, rules=0)), "field.range"),
        (LogArchive(b"{}", LOG.text_file, LOG.record), "field.missing"),
    ],
)  # fmt: skip
def test_a_log_that_was_signed_and_is_not_right(log: LogArchive, code: str) -> None:
    assert refused(log) == code


def test_the_repositorys_case_does_not_matter() -> None:
    assert judged(with_log(made(run=replace(RUN, repository="Acme/Hello")))).status is Status.PASS


def test_a_job_that_kept_its_log_itself_does_not_know_how_it_ends() -> None:
    log = bent(put_job(conclusion=None), origin="job", jobs=put_job(conclusion=None, job_id=None).record.jobs)
    assert judged(with_log(log)).message.startswith("3 lines of build, kept by the job itself")


def other_text(change: Callable[[bytes], bytes]) -> bytes:
    return compress(change(decompress(LOG.text_file, len(TEXT))))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (other_text(lambda text: text.replace(b"make", b"fake")), "log.text.mismatch"),
        (other_text(lambda text: text[:-1] + b" "), "log.text.mismatch"),
        (other_text(lambda text: text[:-1]), "log.gzip"),
        (LOG.text_file + b"\0", "log.gzip"),
        (LOG.text_file + LOG.text_file, "log.gzip"),
        (LOG.text_file[:-1], "log.gzip"),
        (TEXT, "log.gzip"),
        (b"", "log.gzip"),
        (compress(b"\0" * (8 << 20)), "log.gzip"),
    ],
)
def test_another_text_behind_the_record(text: bytes, code: str) -> None:
    assert refused(LOG, text=text) == code


def test_another_record() -> None:
    other = LOG.record_file.replace(b'"masks": 1', b'"masks": 0')
    assert refused(LOG, record=other) == "log.digest.mismatch"


def test_another_size_than_was_stated() -> None:
    published = with_log(stated=replace(LOG.claim, size=LOG.claim.size + 1))
    assert judged(published).code == "log.digest.mismatch"


def test_a_log_that_is_gone() -> None:
    published = whole()
    state(published, LOG.claim, log=4)
    check = judged(published)
    assert (check.code, check.expected, check.actual) == ("log.missing", LOG.claim.sha256.hex(), None)


def test_no_log() -> None:
    published = whole()
    assert judged(published).status is Status.NOT_CHECKED
    assert judged(published, REQUIRED).code == "log.none"
    published.keep_log(LOG.record_file, LOG.text_file)
    assert judged(published).status is Status.NOT_CHECKED
    assert judged(published, REQUIRED).code == "log.none", "a log that nobody signed is none"


def test_a_policy_that_does_not_ask() -> None:
    published = with_log(stated=replace(LOG.claim, sha256=bytes(32)))
    assert judged(published).code == "log.digest.mismatch"
    check = judged(published, ANY)
    assert check.status is Status.NOT_CHECKED
    assert "the policy does not ask" in check.message
    asked = len(published.registry.asked)
    published.verify(policy=ANY)
    plan = plan_log(LOG.record_file, LOG.text_file, published.subject)
    assert plan.text.digest not in published.registry.asked[asked:]


def test_without_a_good_image_no_log_is_judged() -> None:
    published = with_log()
    published.registry.tags.clear()
    published.registry.tags["1.2"] = published.digest
    verdict = published.verify(policy=Policy(repository="acme/other")).verdict
    (check,) = (check for check in verdict.checks if check.step == "log")
    assert check.status is Status.NOT_CHECKED


BAD = (
    LogArchive(LOG.record_file.replace(b'"masks": 1', b'"masks": 0'), LOG.text_file, LOG.record),
    LogArchive(LOG.record_file, other_text(lambda text: text.replace(b"make", b"fake")), LOG.record),
    LogArchive(LOG.record_file, b"", LOG.record),
    LogArchive(LOG.record_file, LOG.text_file + b"\0", LOG.record),
    LogArchive(b"", b"", LOG.record),
    made(run=replace(RUN, run_id=778)),
)


@pytest.mark.parametrize("number", range(len(BAD)))
@pytest.mark.parametrize("first", [True, False])
def test_a_bad_log_beside_the_good_one_changes_nothing(number: int, first: bool) -> None:
    bad = BAD[number]
    published = with_log()
    published.keep_log(bad.record_file, bad.text_file)
    if first:
        published.registry.referrers.reverse()
    assert judged(published) == judged(with_log())
    alone = whole()
    alone.keep_log(bad.record_file, bad.text_file)
    state(alone, LOG.claim, log=4)
    assert judged(alone).status is Status.FAIL, "and does not help where there is none"


@pytest.mark.parametrize("pair", [(BAD[0], BAD[5]), (BAD[1], BAD[3])], ids=["records", "texts"])
def test_of_bad_logs_the_same_one_is_told_in_any_order(pair: tuple[LogArchive, LogArchive]) -> None:
    told = []
    for logs in (pair, pair[::-1]):
        published = whole()
        for log in logs:
            published.keep_log(log.record_file, log.text_file)
        state(published, LOG.claim, log=4)
        told.append(judged(published))
    assert told[0] == told[1]


def test_of_logs_that_nobody_signed_the_first_by_digest_is_shown() -> None:
    published = whole()
    for log in (BAD[0], BAD[5]):
        published.keep_log(log.record_file, log.text_file)
    state(published, LOG.claim, log=4)
    first = min(record_digest(log.record_file).hex() for log in (BAD[0], BAD[5]))
    assert judged(published).actual == first


def test_of_a_log_that_nobody_signed_nothing_is_fetched() -> None:
    """One that is not handed out is no reason to wait for it."""
    published = whole()
    published.keep_log(BAD[0].record_file, BAD[0].text_file)
    published.registry.lost.add(plan_log(BAD[0].record_file, b"", published.subject).record.digest)
    state(published, LOG.claim, log=4)
    assert judged(published).code == "log.digest.mismatch"


def sized(published: Published, **sizes: int) -> None:
    """A log's manifest whose descriptors say other sizes than the bytes have."""
    plan = plan_log(LOG.record_file, LOG.text_file, published.subject)
    manifest = plan.manifest
    for before, after in ((plan.record.size, sizes.get("record")), (plan.text.size, sizes.get("text"))):
        if after is not None:
            assert manifest.count(b'"size":%d' % before) == 1
            manifest = manifest.replace(b'"size":%d' % before, b'"size":%d' % after)
    digest = published.registry.put_manifest(manifest)
    published.registry.referrers.append(Descriptor(MANIFEST_MEDIA_TYPE, digest, len(manifest)))


@pytest.mark.parametrize(
    ("most", "beyond"),
    [
        ({"record": MAX_RECORD}, {"record": MAX_RECORD + 1}),
        ({"text": MAX_COMPRESSED}, {"text": MAX_COMPRESSED + 1}),
    ],
)
def test_a_log_that_is_larger_than_any(most: dict[str, int], beyond: dict[str, int]) -> None:
    published = with_log()
    sized(published, **beyond)
    assert judged(published).status is Status.PASS
    alone = whole()
    state(alone, LOG.claim, log=4)
    sized(alone, **beyond)
    assert judged(alone).code == "log.size"
    alone.registry.blobs |= published.registry.blobs
    sized(alone, **most)
    assert judged(alone).status is Status.PASS


def test_a_log_that_is_not_handed_out_is_no_verdict() -> None:
    published = with_log()
    published.registry.lost.add(plan_log(LOG.record_file, LOG.text_file, published.subject).text.digest)
    with pytest.raises(UnavailableError):
        published.verify()
    assert judged(published, ANY).status is Status.NOT_CHECKED


def test_a_referrer_that_is_not_handed_out_might_be_the_log() -> None:
    """A registry in trouble is never taken for a log that is gone."""
    published = with_log()
    plan = plan_log(LOG.record_file, LOG.text_file, published.subject)
    published.registry.lost.add(sha256_digest(plan.manifest))
    with pytest.raises(UnavailableError):
        published.verify()
    published.keep_log(BAD[0].record_file, BAD[0].text_file)
    with pytest.raises(UnavailableError):
        published.verify()
    assert judged(published, ANY).status is Status.NOT_CHECKED


@pytest.mark.parametrize("first", [True, False])
def test_a_text_that_is_not_handed_out_hides_no_good_one(first: bool) -> None:
    for text in (b"\x00", b"\x7f", b"\xff"):  # before and behind the good one, in the order of digests
        published = with_log()
        published.keep_log(LOG.record_file, text)
        published.registry.lost.add(plan_log(LOG.record_file, text, published.subject).text.digest)
        if first:
            published.registry.referrers.reverse()
        assert judged(published).status is Status.PASS


def test_a_log_of_another_subject_is_not_looked_at() -> None:
    published = whole()
    elsewhere = Descriptor(MANIFEST_MEDIA_TYPE, "sha256:" + "00" * 32, 7)
    published.keep_log(LOG.record_file, LOG.text_file, subject=elsewhere)
    state(published, LOG.claim, log=4)
    assert judged(published).code == "log.missing"


def test_a_log_that_names_no_subject_is_not_looked_at() -> None:
    published = whole()
    plan = plan_log(LOG.record_file, LOG.text_file, published.subject)
    document = json.loads(plan.manifest)
    del document["subject"]
    digest = published.registry.put_manifest(json.dumps(document).encode())
    published.registry.referrers.append(Descriptor(MANIFEST_MEDIA_TYPE, digest, 7))
    state(published, LOG.claim, log=4)
    assert judged(published).code == "log.missing"


def test_the_statement_of_another_signer_names_no_log() -> None:
    published = whole()
    published.keep_log(LOG.record_file, LOG.text_file)
    state(published, LOG.claim, EVIL, log=1)
    assert judged(published, REQUIRED).code == "log.none"


def test_a_statement_about_a_runs_log_is_no_signature_and_no_measurement() -> None:
    published = Published()
    published.keep_log(LOG.record_file, LOG.text_file)
    state_run(published, LOG.claim)
    assert published.failures() == ["signature.none"]
    published.sign()
    assert published.failures() == ["statement.none"]
    published.state()
    assert judged(published, REQUIRED).code == "log.none", "nor does it stand for the build's own"


def test_a_broken_statement_about_a_runs_log_says_nothing_of_the_image() -> None:
    published = with_log()
    state_run(published, {"record": "none"})
    state_run(published, LOG.claim, digest="sha256:" + "00" * 32)
    assert judged(published).status is Status.PASS


@pytest.mark.parametrize("kind", [LOG_PREDICATE_TYPE, PREDICATE_TYPE])
def test_what_a_run_says_of_its_log_measures_nothing_whatever_it_is_called(kind: str) -> None:
    published = Published()
    published.sign()
    state_run(published, LOG.claim, kind=kind)
    (code,) = published.failures()
    assert code in ("statement.none", "field.unknown", "field.missing")


def test_the_claims_decide_and_not_the_record() -> None:
    """An image signed by a later attempt with the log of the first."""
    published = Published()
    later = replace(GOOD, run_invocation_uri=(GOOD.run_invocation_uri or "").replace("s/1", "s/2"))
    published.sign(later)
    published.keep_log(LOG.record_file, LOG.text_file)
    state(published, LOG.claim, later)
    assert judged(published).code == "log.run.mismatch"
