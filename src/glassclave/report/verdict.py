"""A verdict as lines for people and as JSON (``docs/spec/verdict.md``)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from glassclave.attestation.content import time_text
from glassclave.attestation.document import AttestationDocument
from glassclave.attestation.expectation import Historical, Live
from glassclave.policy.checks.identity import ADVICE
from glassclave.policy.model import GITHUB_HOSTED, PUBLIC, Policy, same_repository
from glassclave.policy.verdict import SCHEMA, Level, Verdict
from glassclave.provenance.claims import repository_of, split_workflow_uri
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.predicate import predicate_record
from glassclave.report.attestation import document_record, refusal_of
from glassclave.report.links import commit_link, log_link, run_link, workflow_link
from glassclave.report.outside import outside_short
from glassclave.report.records import check_record, finding_record
from glassclave.report.text import plain, render_checks, render_findings
from glassclave.results import Check, Status

_RUNNERS = {GITHUB_HOSTED: "GitHub-hosted runner"}
LOG_KEPT_FOR = timedelta(days=90)
"""GitHub keeps the logs of a public repository's runs for this long."""


def custom_trust(verdict: Verdict, *, whole: bool) -> str | None:
    """``UNDER CUSTOM TRUST …`` for every root that is not the one everybody has."""
    roots = [] if verdict.trust.public_good else [(verdict.trust.name, verdict.trust.sha256)]
    if verdict.attestation_root is not None:
        roots.append(verdict.attestation_root)
    shown = [f'"{name}", sha256 {sha256 if whole else sha256[:12]}' for name, sha256 in roots]
    return f"UNDER CUSTOM TRUST {' and '.join(shown)}" if shown else None


def verdict_lines(verdict: Verdict, *, ascii_only: bool, colour: bool, width: int) -> list[str]:
    """The whole answer: checks, what to look at, findings, and the sentence of the level last."""
    headline = custom_trust(verdict, whole=True)
    lines = [] if headline is None else [plain(headline, ascii_only=ascii_only)]
    lines += render_checks(_shown(verdict), ascii_only=ascii_only, colour=colour, width=width)
    if verdict.signature is not None:
        lines.append("")
        for name, value in rows_to_read(verdict, verdict.signature):
            lines.append(plain(f"{name:<11}{value}", ascii_only=ascii_only))
    container = verdict.predicate and verdict.predicate.claimed.container
    if container and verdict.measurements is not None:
        said = f"outside    {outside_short(container)}  (said by the builder; --json lists it)"
        lines.append(plain(said, ascii_only=ascii_only))
    if verdict.findings:
        lines.append("")
        lines += render_findings(verdict.findings, ascii_only=ascii_only, colour=colour, width=width)
    return [*lines, "", plain(sentence(verdict), ascii_only=ascii_only)]


def _shown(verdict: Verdict) -> list[Check]:
    """One line for a step that passed whole; of another only what did not pass. Their order stays."""
    shown: list[Check] = []
    merged = {"identity": _identity_line(verdict), "enclave": _enclave_line(verdict)}
    failed = {check.step for check in verdict.checks if check.status is Status.FAIL}
    for check in verdict.checks:
        line = merged.get(check.step)
        if line is None:
            if check.step not in failed or check.status is Status.FAIL:
                shown.append(check)
        elif line not in shown:
            shown.append(line)
    return shown


def _identity_line(verdict: Verdict) -> Check | None:
    """Repository, workflow, ref, trigger, runner; the rest where it is not what everybody demands."""
    checks = [check for check in verdict.checks if check.step == "identity"]
    signature = verdict.signature
    if signature is None or any(check.status is not Status.PASS for check in checks):
        return None
    claims, policy = signature.claims, verdict.policy
    said = {check.code.removeprefix("identity."): check.message for check in checks}
    signer = split_workflow_uri(claims.build_signer_uri or "")
    parts = (
        said.get("repository"),
        said.get("signer-workflow"),
        None if signer and signer.ref == claims.source_repository_ref else said.get("source-ref"),
        policy.source_digest and said.get("source-digest"),
        said.get("trigger"),
        _RUNNERS.get(claims.runner_environment or "", said.get("runner")),
        None if claims.visibility == PUBLIC else said.get("visibility"),
    )
    message = " · ".join(part for part in parts if part)
    return Check(step="identity", code="identity", status=Status.PASS, message=message)


def _enclave_line(verdict: Verdict) -> Check | None:
    """Where, when, in answer to what, and which registers were compared."""
    appraisal = verdict.appraisal
    if appraisal is None or not appraisal.passed or appraisal.document is None:
        return None
    document, mode = appraisal.document, appraisal.mode
    if isinstance(mode, Live):
        when = f"{_age(mode, document)} s before {time_text(mode.at)}, our nonce"
    else:
        when = f"at {time_text(document.created)}"
    equal = [
        check.code.removeprefix("attestation.").upper()
        for check in appraisal.checks
        if check.step.startswith("PCR") and check.status is Status.PASS
    ]
    said = f"{document.module_id} in {appraisal.region or 'no named region'}, {when}, not debug: "
    message = f"{said}{', '.join(equal)} equal"
    return Check(step="enclave", code="enclave", status=Status.PASS, message=message)


def rows_to_read(verdict: Verdict, signature: VerifiedSignature) -> list[tuple[str, str]]:
    """What the reader of a verdict must look at, each with value and link (all from the certificate).

    What the line of a signer who passed says already is left out; of one who was refused all is there.
    """
    claims = signature.claims
    links = links_of(signature, public_log=verdict.trust.public_good)
    run = links["run"] or claims.run_invocation_uri
    source, workflow = links["source"], links["workflow"] or claims.build_config_uri
    signer = _at(links["signer"], claims.build_signer_uri)
    audit = "  (what to audit)" if _identity_line(verdict) else ""
    rows = [
        ("image", f"{untagged(verdict.reference)}@{verdict.digest}"),
        ("source", (source and source + audit) or claims.source_repository_uri),
        ("workflow", workflow),
        ("signer", signer),
        ("run", run and f"{run}  (log kept by GitHub until {log_kept_until(signature)})"),
        ("log", links["log"] or f"index {signature.log_index:,} (not public)"),
        ("issuer", claims.issuer),
    ]
    if _identity_line(verdict) is None:
        rows += [
            ("ref", claims.source_repository_ref),
            ("trigger", claims.build_trigger),
            ("runner", claims.runner_environment),
            ("visibility", claims.visibility),
        ]
    elif links["signer"] is not None and links["signer"] == workflow:
        rows.remove(("signer", signer))  # the line says at which ref
    return [(name, value or "the certificate does not say") for name, value in rows]


def untagged(reference: str) -> str:
    """The reference without tag and digest: whoever comes back names the digest that was judged."""
    registry, slash, rest = reference.partition("@")[0].partition("/")
    return f"{registry}{slash}{rest.partition(':')[0]}"


def links_of(signature: VerifiedSignature, *, public_log: bool) -> dict[str, str | None]:
    """Addresses to look at; ``None`` where the certificate's claims make no address of a known form."""
    claims = signature.claims
    return {
        "source": commit_link(claims),
        "signer": workflow_link(claims, signer=True),
        "workflow": workflow_link(claims, signer=False),
        "run": run_link(claims),
        "log": log_link(signature.log_index) if public_log else None,
    }


def log_kept_until(signature: VerifiedSignature) -> str:
    """Day (UTC) on which GitHub drops the run's log."""
    return time_text(signature.signed_at + LOG_KEPT_FOR)[:10]


def _at(link: str | None, uri: str | None) -> str | None:
    """The signing workflow's file, and at which ref it was called."""
    return f"{link}  (at {uri.partition('@')[2]})" if link and uri else uri


def sentence(verdict: Verdict) -> str:
    """The level in words that claim no more than was checked."""
    custom = custom_trust(verdict, whole=False)
    return level_sentence(verdict) + (f" {custom}." if custom else "")


def level_sentence(verdict: Verdict) -> str:
    """The sentence without the roots of trust, for where they stand beside it."""
    failed = next((check for check in verdict.checks if check.status is Status.FAIL), None)
    if failed is not None:
        return f"REFUSED: {refusal(verdict, failed)} [{failed.code}]. Nothing was saved."
    if not verdict.passed:
        asked, shown = verdict.required.value, verdict.level.value
        takes = _MISSING[Level.PROVENANCE if verdict.level is Level.UNSTATED else verdict.required]
        return f"NOT REACHED: {asked} was asked for, {shown} was shown. {takes}"
    if verdict.level is Level.UNSTATED:
        return _unstated(verdict)
    built = _built_by(verdict)
    if verdict.level is Level.ATTESTED_AT:
        at = verdict.attested_at
        return f"ATTESTED AT {at}: an enclave with this image, {built}, existed then. Nothing about now."
    if verdict.level is Level.LIVE_UNBOUND:
        return (
            f"LIVE, UNBOUND: this image, {built}, answered our question{_when(verdict)}."
            " Who carries the connection was not checked."
        )
    return f"PROVENANCE: {built}; no running enclave was checked."


def _unstated(verdict: Verdict) -> str:
    """A level that no document raises: it is said what the document showed, and not under a level's name."""
    signed = _built_by(verdict).replace("built", "signed", 1)
    appraisal = verdict.appraisal
    if appraisal is None:
        ran = "No running enclave was checked"
    elif isinstance(appraisal.mode, Live):
        ran = f"An enclave with this image answered our question{_when(verdict)}"
    else:
        ran = f"An enclave with this image existed at {verdict.attested_at}"
    return f"UNSTATED: {signed}; nobody states what it measures, that was computed here alone. {ran}."


_MISSING = {
    Level.NONE: "",
    Level.UNSTATED: "",
    Level.PROVENANCE: "It takes a statement of what the image measures; glassclave publish signs one.",
    Level.ATTESTED_AT: "It takes a document judged at its own time: --document FILE --historical.",
    Level.LIVE_UNBOUND: "It takes a document with a nonce of yours: --document FILE --nonce HEX.",
    Level.LIVE: "It takes a connection to the enclave, which this version cannot make.",
}


def refusal(verdict: Verdict, failed: Check) -> str:
    """Why, as a person would say it."""
    if failed.code == "identity.repository.mismatch":
        return f"this is not {verdict.policy.repository}'s image, it was built in {failed.actual}"
    if failed.code.startswith("attestation.pcr"):
        return "what the enclave runs is not this image"
    if failed.step == "enclave" and verdict.appraisal is not None:
        return refusal_of(verdict.appraisal)
    return failed.message.partition(ADVICE)[0]


def _when(verdict: Verdict) -> str:
    appraisal = verdict.appraisal
    if appraisal is None or appraisal.document is None or not isinstance(appraisal.mode, Live):
        return ""
    return f" {_age(appraisal.mode, appraisal.document)} s before {time_text(appraisal.mode.at)}"


def _age(mode: Live, document: AttestationDocument) -> str:
    return f"{round(max(mode.at - document.created, timedelta(0)).total_seconds()):,}"


def _built_by(verdict: Verdict) -> str:
    """Of whom, and by whose workflow where that is another."""
    claims = None if verdict.signature is None else verdict.signature.claims
    repository = repository_of((claims and claims.source_repository_uri) or "")
    signer = split_workflow_uri((claims and claims.build_signer_uri) or "")
    if repository is None or signer is None:
        return "built by the workflow that is named"
    if same_repository(repository, signer.repository):
        return f"built by {repository}'s workflow"
    return f"built for {repository} by {signer.repository}'s workflow"


def verdict_record(verdict: Verdict) -> dict[str, object]:
    """The verdict as one JSON document (``docs/spec/verdict.schema.json``)."""
    signature, predicate, appraisal = verdict.signature, verdict.predicate, verdict.appraisal
    public = verdict.trust.public_good
    document = None if appraisal is None else appraisal.document
    return {
        "schema": SCHEMA,
        "level": verdict.level.value,
        "passed": verdict.passed,
        "required": verdict.required.value,
        "trust": {
            "name": verdict.trust.name,
            "sha256": verdict.trust.sha256,
            "custom": verdict.custom_trust,
            "attestationRoot": None
            if verdict.attestation_root is None
            else {"name": verdict.attestation_root[0], "sha256": verdict.attestation_root[1]},
        },
        "policy": _policy_record(verdict.policy),
        "subject": _subject(verdict),
        "checks": [check_record(check) for check in verdict.checks],
        "claims": None if signature is None else _claims_record(signature),
        "links": None if signature is None else links_of(signature, public_log=public),
        "statement": None if predicate is None else predicate_record(predicate),
        "document": None
        if appraisal is None or document is None
        else {"at": _judged_at(appraisal.mode), **document_record(document, appraisal.chain)},
        "findings": [finding_record(finding) for finding in verdict.findings],
        "sentence": sentence(verdict),
    }


def _subject(verdict: Verdict) -> dict[str, object]:
    """``measurements``: what was measured here, ``null`` unless the image passed."""
    measured = verdict.measurements
    registers = {} if measured is None else measured.by_index()
    return {
        "reference": verdict.reference,
        "digest": verdict.digest,
        "measurements": {f"PCR{index}": value.hex() for index, value in registers.items()} or None,
    }


def _policy_record(policy: Policy) -> dict[str, object]:
    """All demands, defaults included, under the keys of a policy file; ``null`` demands nothing."""
    return {
        "repository": policy.repository,
        "issuer": policy.issuer,
        "signer-workflow": policy.signer_workflow,
        "source-refs": list(policy.source_refs),
        "source-digest": policy.source_digest,
        "triggers": list(policy.triggers),
        "runner-environment": policy.runner_environment,
        "visibility": policy.visibility,
        "build-log": policy.build_log,
        "statement": policy.statement,
    }


def _claims_record(signature: VerifiedSignature) -> dict[str, object]:
    return {
        **signature.claims.present(),
        "log_index": signature.log_index,
        "signed_at": _utc(signature.signed_at),
        "log_kept_until": log_kept_until(signature),
    }


def _judged_at(mode: Live | Historical) -> str | None:
    return None if mode.at is None else _utc(mode.at)


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
