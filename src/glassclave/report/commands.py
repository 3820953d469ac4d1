"""Commands that a page offers, so that nobody has to believe it: the same question, and other programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

from glassclave.attestation.expectation import Live
from glassclave.policy.model import DEFAULT_SOURCE_REFS, STATEMENT_OPTIONAL, Policy
from glassclave.policy.verdict import Level, Verdict
from glassclave.report.verdict import untagged
from glassclave.results import Status


@dataclass(frozen=True, slots=True)
class Step:
    """A command to type, and why."""

    why: str
    command: str


def commands_of(verdict: Verdict) -> Iterator[Step]:
    """By digest: a tag may name another image tomorrow. Of what was refused only the question itself."""
    pinned = shlex.quote(_pinned(verdict))
    words = [
        *_demands(verdict.policy),
        *_document(verdict),
        *([] if verdict.trust.public_good else ["--trust-config", "TRUST.json"]),
    ]
    yield Step("Judge it again:", f"glassclave verify {pinned} {shlex.join(words)}")
    claims = None if verdict.signature is None else verdict.signature.claims
    # Of a signer who was refused no command is offered: it would succeed.
    if any(check.status is Status.FAIL for check in verdict.checks):
        return
    if claims is not None and claims.issuer and claims.san_uri:
        pointed = "" if verdict.trust.public_good else ", pointed at the same trust root"
        yield Step(
            f"Check the signature with another program (cosign){pointed}:",
            f"cosign verify --certificate-oidc-issuer {shlex.quote(claims.issuer)}"
            f" --certificate-identity {shlex.quote(claims.san_uri)} {pinned}",
        )
    # oras wants to be told of a registry without TLS, which is on this machine only.
    plain = "--plain-http " if verdict.reference.startswith(("127.", "localhost")) else ""
    yield Step("Fetch the files (oras), then measure the image:", f"oras pull {plain}{pinned}")
    yield Step("", "glassclave describe FILE.eif")


def _demands(policy: Policy) -> list[str]:
    """The options that ask for this policy; a policy that no options can ask for stands in a file."""
    words = ["--repo", policy.repository]
    if policy.signer_workflow is not None:
        words += ["--signer-workflow", policy.signer_workflow]
    if policy.source_refs != DEFAULT_SOURCE_REFS:
        words += [word for ref in policy.source_refs for word in ("--source-ref", ref)]
    if policy.source_digest is not None:
        words += ["--source-digest", policy.source_digest]
    asked = Policy(
        repository=policy.repository,
        signer_workflow=policy.signer_workflow,
        source_refs=policy.source_refs,
        source_digest=policy.source_digest,
        statement=policy.statement,
    )
    if policy.statement == STATEMENT_OPTIONAL:
        words.append("--accept-unstated")
    return words if asked == policy else ["--policy", "POLICY.toml"]


def _document(verdict: Verdict) -> list[str]:
    """What was asked of the document; without its time a live one would be too old by now."""
    words, usual = [], Level.PROVENANCE
    if verdict.appraisal is not None:
        mode = verdict.appraisal.mode
        at = [] if mode.at is None else ["--at", mode.at.astimezone(UTC).isoformat().replace("+00:00", "Z")]
        live = isinstance(mode, Live)
        usual = Level.LIVE_UNBOUND if live else Level.ATTESTED_AT
        asked = ["--nonce", mode.nonce.hex()] if isinstance(mode, Live) else ["--historical"]
        root = [] if verdict.attestation_root is None else ["--attestation-root", "ROOT.pem"]
        words = ["--document", "DOCUMENT", *asked, *at, *root]
    if verdict.policy.statement == STATEMENT_OPTIONAL:
        usual = Level.UNSTATED
    return words if verdict.required is usual else [*words, "--require", verdict.required.value]


def _pinned(verdict: Verdict) -> str:
    if verdict.digest is None:
        return verdict.reference
    return f"{untagged(verdict.reference)}@{verdict.digest}"
