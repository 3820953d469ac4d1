"""What stands on the page of a verdict, in words for people who have never heard of PCRs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from glassclave.attestation.appraisal import DocumentAppraisal
from glassclave.attestation.content import time_text
from glassclave.attestation.expectation import Live
from glassclave.policy.checks.identity import ADVICE
from glassclave.policy.verdict import Level, Verdict
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.predicate import MeasurementPredicate, predicate_record
from glassclave.report.attestation import document_record
from glassclave.report.commands import Step, commands_of
from glassclave.report.links import commit_link, log_link, public_link, run_link, workflow_link
from glassclave.report.outside import HEADING, NOT_SEEN, outside_lines, outside_short
from glassclave.report.verdict import level_sentence, log_kept_until, refusal
from glassclave.results import Check, Finding, Status
from glassclave.sizes import megabytes

_SHOWN = 200
"""Lines of each kind of what came from outside: the statement below has all that was signed."""
_WORDS = {Status.PASS: "✓ passed", Status.FAIL: "✗ failed", Status.NOT_CHECKED: "– not checked"}


@dataclass(frozen=True, slots=True)
class Row:
    """A name and a value; ``link``: an address that may be clicked; ``exact``: shown as code.

    ``before``, ``note``: words before and after the value.
    """

    name: str
    text: str
    link: str | None = None
    exact: bool = False
    note: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed. ``said``: what the sentence above it does not say already."""

    said: str
    check: Check


@dataclass(frozen=True, slots=True)
class Raw:
    """Evidence folded away: a table, or text."""

    title: str
    rows: Sequence[Row] = ()
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the template puts out. Nothing in it is escaped yet."""

    title: str
    band: str
    sentence: str
    meaning: str
    custom_trust: bool
    failures: Sequence[Failure]
    about: Sequence[Row]
    who: str
    builder: Sequence[Row]
    what: str
    source: Sequence[Row]
    inside: str
    content: Sequence[Row]
    runs: str
    enclave: Sequence[Row]
    unchecked: Sequence[str]
    findings: Sequence[Finding]
    commands: Sequence[Step]
    checks: Sequence[Check]
    raw: Sequence[Raw] = field(default_factory=tuple)

    def word(self, check: Check) -> str:
        """The outcome with its sign: colour is never the only one."""
        return _WORDS[check.status]


def page_of(verdict: Verdict, *, at: datetime) -> Page:
    """The page of a verdict that was given at ``at``."""
    signature = verdict.signature
    return Page(
        title=f"{verdict.level.value if verdict.passed else 'refused'}: {verdict.reference}",
        band=_band(verdict),
        sentence=_sentence(verdict),
        meaning=_meaning(verdict),
        custom_trust=verdict.custom_trust,
        failures=tuple(_failures(verdict)),
        about=_about(verdict, at),
        who=_who(verdict),
        builder=() if signature is None else tuple(_builder(verdict, signature)),
        what=_what(verdict),
        source=() if signature is None else tuple(_source(signature)),
        inside=_inside(verdict),
        content=tuple(_content(verdict)),
        runs=_runs(verdict),
        enclave=() if verdict.appraisal is None else tuple(_enclave(verdict.appraisal)),
        unchecked=tuple(_unchecked(verdict)),
        findings=verdict.findings,
        commands=tuple(commands_of(verdict)),
        checks=verdict.checks,
        raw=tuple(_raw(verdict)),
    )


def _failed(verdict: Verdict, step: str | None = None) -> tuple[Check, ...]:
    """Checks that failed: of one step, or all."""
    return tuple(
        check for check in verdict.checks if check.status is Status.FAIL and step in (None, check.step)
    )


def _sentence(verdict: Verdict) -> str:
    """As in the text; of a refusal the code, what was expected and what was found stand below."""
    failed = _failed(verdict)
    return f"REFUSED: {refusal(verdict, failed[0])}." if failed else level_sentence(verdict)


def _failures(verdict: Verdict) -> Iterator[Failure]:
    """Of the first one, which is in the sentence, only what the sentence leaves out."""
    for index, check in enumerate(_failed(verdict)):
        message, _, advice = check.message.partition(ADVICE)
        told = message.endswith(refusal(verdict, check)) or check.code == "identity.repository.mismatch"
        advised = advice and f"To accept it: {advice}"
        yield Failure(advised if index == 0 and told else check.message, check)


def _roots(verdict: Verdict) -> Iterator[Row]:
    """Whom the answer rests on, named here and nowhere else on the page."""
    trust, root, appraisal = verdict.trust, verdict.attestation_root, verdict.appraisal
    yield Row("Trust root", f"sha256 {trust.sha256}", exact=True, before=trust.name)
    if root is None and appraisal is not None:
        root = (appraisal.trust.name, appraisal.trust.sha256)
    if root is not None:
        yield Row("Hardware root", f"sha256 {root[1]}", exact=True, before=root[0])


def _whole(verdict: Verdict, step: str) -> bool:
    statuses = {check.status for check in verdict.checks if check.step == step}
    return statuses == {Status.PASS}


def _band(verdict: Verdict) -> str:
    """Green for the best that can be had under everybody's trust; amber for less; red for a refusal."""
    if _failed(verdict):
        return "bad"
    best = verdict.level is Level.LIVE or (verdict.level is verdict.required is Level.PROVENANCE)
    return "good" if verdict.passed and best and not verdict.custom_trust else "warn"


def _meaning(verdict: Verdict) -> str:
    if _failed(verdict):
        return "Do not rely on this image for what you asked."
    if not verdict.passed:
        return "Nothing was found to be wrong, and yet less was shown than you asked for."
    own = verdict.attestation_root is not None
    confirmed = (
        "Whoever holds the hardware root that was chosen confirmed" if own else "The hardware confirmed"
    )
    texts = {
        Level.UNSTATED: (
            "The image file was fetched and measured here, and the workflow named below signed it. Nobody"
            " states what it measures, so there was no signed statement to compare it with."
        ),
        Level.PROVENANCE: (
            "The image file was fetched and measured here, and it is the one that the workflow named below"
            " built and signed. Whether a running service uses it was not part of the question."
        ),
        Level.ATTESTED_AT: (
            f"{confirmed} that a sealed machine with exactly this image existed at that time."
            " It says nothing about what runs now."
        ),
        Level.LIVE_UNBOUND: (
            f"{confirmed}, in answer to our own question, that a sealed machine with exactly this image"
            " was running then. Whether the service that you talk to is that machine was not checked."
        ),
        Level.LIVE: f"{confirmed} that exactly this image is at the other end of the connection.",
    }
    return texts.get(verdict.level, "")


def _about(verdict: Verdict, at: datetime) -> tuple[Row, ...]:
    return (
        Row("Name", verdict.reference, exact=True),
        Row("Digest", verdict.digest or "none", exact=True),
        Row("Judged", time_text(at)),
        *_roots(verdict),
    )


def _who(verdict: Verdict) -> str:
    if verdict.signature is None:
        return "Nobody whose signature holds. See the failed check."
    if any(check.code == "identity.repository.mismatch" for check in _failed(verdict, "identity")):
        return "Not who you asked for. The signature's certificate says:"
    if not _whole(verdict, "identity"):
        return "Not in the way that you asked for. The signature's certificate says:"
    return (
        "A build service ran this workflow and told an authority which one it was. The authority certified a"
        " key that existed only in that run, and with it the signature was made."
    )


def _builder(verdict: Verdict, signature: VerifiedSignature) -> Iterator[Row]:
    claims = signature.claims
    yield Row(
        "Repository", claims.source_repository_uri or "not said", public_link(claims.source_repository_uri)
    )
    signer = workflow_link(claims, signer=True)
    at = "" if claims.build_signer_uri is None else claims.build_signer_uri.partition("@")[2]
    free = _whole(verdict, "identity") and verdict.policy.signer_workflow is None
    pinned = "any workflow of the repository was allowed" if free else ""
    note = "; ".join(part for part in (at and f"at {at}", pinned) if part)
    yield Row("Signed by", signer or claims.build_signer_uri or "not said", signer, note=note)
    yield Row("Started by", claims.build_trigger or "not said", note="the event that started the run")
    yield Row("Ran on", claims.runner_environment or "not said")
    yield Row(
        "Run",
        claims.run_invocation_uri or "not said",
        run_link(claims),
        note=f"GitHub keeps its log until {log_kept_until(signature)}",
    )
    yield Row("Signed", time_text(signature.signed_at))


def _what(verdict: Verdict) -> str:
    if verdict.signature is None:
        return "Nothing is known about its source."
    return (
        "The run was started at this commit. That is what there is to read; a workflow could fetch other"
        " source while it runs, so read the workflow too."
    )


def _source(signature: VerifiedSignature) -> Iterator[Row]:
    claims = signature.claims
    link = commit_link(claims)
    yield Row("Commit", link or claims.source_repository_digest or "not said", link, exact=link is None)
    yield Row("Branch or tag", claims.source_repository_ref or "not said", exact=True)
    workflow = workflow_link(claims, signer=False)
    yield Row("Workflow", workflow or claims.build_config_uri or "not said", workflow)
    yield Row("Visibility", claims.visibility or "not said", note="of the repository, at that time")


def _inside(verdict: Verdict) -> str:
    if _failed(verdict, "image"):
        return "Not what was signed: the image file was measured here, and a check of it failed."
    if verdict.measurements is None:
        return "Not looked at: an earlier check failed."
    unstated = verdict.predicate is None
    compared = "; nobody states what they should be" if unstated else " and equal what the workflow signed"
    return (
        "A small operating system and one application. PCRs are fingerprints that the hardware computes when"
        " it starts an image: PCR0 is that of the whole image, PCR1 of kernel and start program, PCR2 of the"
        f" application. They were computed here from the file{compared}."
    )


def _content(verdict: Verdict) -> Iterator[Row]:
    predicate = verdict.predicate
    if verdict.measurements is None:
        return
    for index, value in verdict.measurements.by_index().items():
        yield Row(f"PCR{index}", value.hex(), exact=True)
    if predicate is None:
        return
    size = predicate.measured.eif.size
    yield Row("Image file", f"{megabytes(size)} for {predicate.measured.architecture}")
    yield from _claimed(predicate)


def _claimed(predicate: MeasurementPredicate) -> Iterator[Row]:
    unmeasured, recipe = predicate.claimed.unmeasured, predicate.claimed.recipe
    said = "said by the builder, not measured"
    yield Row("Called", f"{unmeasured.image_name} {unmeasured.image_version}", note=said)
    yield Row("Built with", f"{recipe.tool_name} {recipe.tool_version}, layout {recipe.layout}", note=said)
    yield Row("Kernel, init", predicate.claimed.bootstrap.name, note=said)
    container = predicate.claimed.container
    if container is not None:
        yield Row(HEADING, outside_short(container), note=f"{said}. {NOT_SEEN}")


def _runs(verdict: Verdict) -> str:
    appraisal = verdict.appraisal
    if appraisal is None:
        return "Not known. No document of a running machine was judged."
    if not appraisal.passed:
        return "Not shown. The document of the running machine did not pass."
    if isinstance(appraisal.mode, Live):
        return (
            "Yes, a machine with this image answered a fresh question; who carried the answer is not known."
        )
    return "At the time of the document, yes. Nothing is known about now."


def _enclave(appraisal: DocumentAppraisal) -> Iterator[Row]:
    document = appraisal.document
    if document is None:
        return
    yield Row("Machine", document.module_id, exact=True)
    yield Row("Region", appraisal.region or "not named")
    yield Row("Document of", time_text(document.created))
    if isinstance(appraisal.mode, Live):
        yield Row("Judged for", time_text(appraisal.mode.at))


def _unchecked(verdict: Verdict) -> Iterator[str]:
    failed = {check.step for check in _failed(verdict)}
    for check in verdict.checks:
        # Of a step that failed its failures are the news; the table has the rest.
        if check.status is Status.NOT_CHECKED and check.step not in failed:
            yield f"{check.step}: {check.message}"
    yield "What the source code does: nobody read it here."
    if verdict.signature is not None:
        yield "Whether the workflow built from that commit and nothing else: read it, and the run's log."


def _raw(verdict: Verdict) -> Iterator[Raw]:
    signature = verdict.signature
    if signature is not None:
        rows = [Row(name, value, exact=True) for name, value in signature.claims.present().items()]
        yield Raw(f"Claims of the certificate ({len(rows)})", rows)
        link = log_link(signature.log_index) if verdict.trust.public_good else None
        log = [
            Row("log index", f"{signature.log_index:,}"),
            Row("address", link or "this log is not the public one", link),
            Row("signed", time_text(signature.signed_at)),
            Row("layout", signature.kind),
        ]
        yield Raw("Entry of the transparency log", log)
    container = verdict.predicate and verdict.predicate.claimed.container
    if container:
        yield Raw(HEADING, text="\n".join(outside_lines(container, most=_SHOWN)))
    if verdict.predicate is not None:
        yield Raw("Statement", text=_json(predicate_record(verdict.predicate)))
        sections = [
            Row(one.type, f"{one.size:,} bytes, sha384 {one.sha384.hex()}", exact=True)
            for one in verdict.predicate.measured.sections
        ]
        yield Raw(f"Sections of the image ({len(sections)})", sections)
    if verdict.appraisal is not None and verdict.appraisal.document is not None:
        record = document_record(verdict.appraisal.document, verdict.appraisal.chain)
        yield Raw("Attestation document", text=_json(record))


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
