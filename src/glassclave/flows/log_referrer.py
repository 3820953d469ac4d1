"""Build logs beside an artifact: pushed as referrers, found again, and judged by what was signed of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from glassclave.buildlog.record import MAX_RECORD
from glassclave.buildlog.text import MAX_COMPRESSED
from glassclave.errors import ParseError, RefusedError, UnavailableError
from glassclave.flows.evidence import Evidence, collect_evidence
from glassclave.flows.log import LogArchive
from glassclave.flows.signatures import check_room, push_bundle, push_referrer
from glassclave.flows.stated import failures, none_was_withheld
from glassclave.oci.artifact import read_artifact
from glassclave.oci.log_artifact import LOG_ARTIFACT_TYPE, LogLayers, plan_log
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, Descriptor, parse_manifest
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryReader, RegistryWriter
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.checks.log import JudgedLog, SignedLog, check_log, check_run, refused_log
from glassclave.policy.checks.statement import check_statement
from glassclave.policy.model import Policy
from glassclave.provenance.claimed import BuildLogClaim
from glassclave.provenance.claims import Claims
from glassclave.provenance.evidence import SignatureVerifier, Signer
from glassclave.provenance.logged import LOG_PREDICATE_TYPE, log_predicate, parse_log_predicate
from glassclave.provenance.statement import build_statement, parse_statement

_ATTACHED = 2
"""Referrers that a whole run's log adds: itself, and the statement about it."""


def push_log(registry: RegistryWriter, reference: Reference, subject: Descriptor, log: LogArchive) -> None:
    """The log as a referrer of ``subject``."""
    layers = (log.record_file, log.text_file)
    manifest = plan_log(*layers, subject).manifest
    push_referrer(registry, reference, subject, manifest, layers, LOG_ARTIFACT_TYPE, {})


def refuse_other_run(log: LogArchive, claims: Claims) -> None:
    """`RefusedError` ``log.*.mismatch`` where the one who signs is not of the log's run."""
    bad = check_run(log.record, claims)
    if bad is not None:
        raise RefusedError(
            bad.code,
            f"the log {bad.message}: {bad.actual}, this job's is {bad.expected}",
            hint="collect the log in the run that signs it",
        )


def attach_log(
    reference: Reference,
    log: LogArchive,
    *,
    registry: RegistryWriter,
    open_signer: Callable[[], AbstractContextManager[Signer]],
) -> Reference:
    """Sign that ``log`` is of the run that made the artifact, and push both. The artifact by digest.

    Raises `RefusedError` ``log.*.mismatch``, and ``publish.referrers.count`` where nobody would look at it.
    """
    stored = registry.resolve(reference)
    read_artifact(parse_manifest(stored.data, source=str(reference)))
    pinned = reference.pinned(stored.digest)
    subject = Descriptor(MANIFEST_MEDIA_TYPE, stored.digest, len(stored.data))
    check_room(registry, pinned, stored.digest, adding=_ATTACHED)
    with open_signer() as signer:
        refuse_other_run(log, signer.claims)
        bundle = signer.sign_statement(
            build_statement(
                reference.name,
                stored.digest.removeprefix("sha256:"),
                log_predicate(log.claim),
                predicate_type=LOG_PREDICATE_TYPE,
            )
        )
    push_log(registry, pinned, subject, log)
    push_bundle(registry, pinned, subject, bundle, LOG_PREDICATE_TYPE)
    return pinned


def judge_log(
    registry: RegistryReader,
    reference: Reference,
    evidence: Evidence,
    stated: BuildLogClaim,
    claims: Claims,
    *,
    ended_well: bool,
) -> JudgedLog:
    """The log that ``stated`` names, out of those that are there.

    Raises `UnavailableError` where none is good and the registry lists one that it does not hand out.
    """
    wanted = f"sha256:{stated.sha256.hex()}"
    named = [log for log in evidence.logs if log.record.digest == wanted]
    judged, withheld = _named(registry, reference, named, stated, claims, ended_well=ended_well)
    if judged is not None and judged.passed:
        return judged
    if withheld is not None:  # it might have been the good one
        raise withheld
    none_was_withheld(evidence.statements)  # nor could a referrer be had that might have been the log
    if judged is not None:
        return judged
    if not evidence.logs:
        return refused_log("log.missing", "was signed, and is not there any more", stated.sha256.hex())
    found = evidence.logs[0].record.digest.removeprefix("sha256:")
    return refused_log("log.digest.mismatch", "is not the log that was signed", stated.sha256.hex(), found)


def _named(
    registry: RegistryReader,
    reference: Reference,
    logs: Sequence[LogLayers],
    stated: BuildLogClaim,
    claims: Claims,
    *,
    ended_well: bool,
) -> tuple[JudgedLog | None, UnavailableError | None]:
    """The good one of ``logs`` or else the last, ``None`` where there is none; what was not handed out."""
    judged = refused_log("log.size", "is larger than any log that is read") if logs else None
    withheld: UnavailableError | None = None
    for log in logs:  # the same record with another text, or none, beside it neither helps nor hides
        if log.record.size > MAX_RECORD or log.text.size > MAX_COMPRESSED:
            continue
        try:
            record = registry.fetch_small_blob(reference, log.record, MAX_RECORD)
            text = registry.fetch_small_blob(reference, log.text, MAX_COMPRESSED)
        except UnavailableError as error:
            withheld = error
            continue
        judged = check_log(stated, record, text, claims, ended_well=ended_well)
        if judged.passed:
            break
    return judged, withheld


def signed_logs(
    reference: Reference, policy: Policy, *, registry: RegistryReader, signatures: SignatureVerifier
) -> tuple[str, tuple[SignedLog, ...]]:
    """The artifact's digest, and every log that somebody signed whom ``policy`` allows, the build's first.

    Raises `RefusedError` for the reason why there is none: ``log.none``, ``statement.*``, ``identity.*``;
    `UnavailableError` where the registry withholds a piece that might have named one.
    """
    stored = registry.resolve(reference)
    layers = read_artifact(parse_manifest(stored.data, source=str(reference)))
    evidence = collect_evidence(registry, reference, stored.digest, signatures)
    found: list[SignedLog] = []
    reason: RefusedError | None = None
    for one in evidence.statements.good:
        outcome = check_statement(one, policy, eif_digest=layers.eif.digest)
        if outcome.predicate is None:
            bad = outcome.checks[0]
            reason = RefusedError(bad.code, bad.message, source=str(reference))
        elif outcome.predicate.claimed.build_log is not None:
            stated = outcome.predicate.claimed.build_log
            judged = judge_log(registry, reference, evidence, stated, one.claims, ended_well=True)
            found.append(SignedLog(False, judged, one))
    found += _of_whole_runs(registry, reference, evidence, policy)
    if not found:
        none_was_withheld(evidence.statements)
        error = reason or evidence.statements.reason()
        if error is not None:
            raise error
        raise RefusedError(
            "log.none",
            "nobody whom you allow signed a log of this image",
            source=str(reference),
            hint="the run's page on GitHub has it for 90 days",
        )
    return stored.digest, tuple(found)


def _of_whole_runs(
    registry: RegistryReader, reference: Reference, evidence: Evidence, policy: Policy
) -> list[SignedLog]:
    found: list[SignedLog] = []
    for one in evidence.run_logs.good:
        if failures(check_identity(one.claims, policy)):
            continue
        try:
            statement = parse_statement(one.payload, predicate_type=LOG_PREDICATE_TYPE)
            stated = parse_log_predicate(statement.predicate)
        except ParseError as error:
            found.append(SignedLog(True, refused_log(error.code, f"cannot be read: {error}"), one))
            continue
        judged = judge_log(registry, reference, evidence, stated, one.claims, ended_well=False)
        found.append(SignedLog(True, judged, one))
    return found
