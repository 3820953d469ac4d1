"""What stands beside an image and is not its signature or measurements: its log, and whoever rebuilt it."""

from __future__ import annotations

from glassclave.flows.case import Case
from glassclave.flows.evidence import Evidence
from glassclave.flows.log_referrer import judge_log
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryReader
from glassclave.policy.checks.rebuild import rebuild_findings, says_the_same
from glassclave.policy.model import LOG_ANY, LOG_REQUIRED, Policy
from glassclave.provenance.rebuild import REBUILD_TYPE

OTHER_ATTESTATION = "an attestation of another type is there and was not used"


def judge_kept_log(
    case: Case, evidence: Evidence, reference: Reference, policy: Policy, registry: RegistryReader
) -> None:
    """The log that the statement names. It says nothing of the image: it is what a reader audits."""
    stated = None if case.predicate is None else case.predicate.claimed.build_log
    if policy.build_log == LOG_ANY:
        case.skipped("log", "not checked: the policy does not ask for it")
    elif stated is None or case.stated_by is None:
        if policy.build_log == LOG_REQUIRED:
            case.failed("log", "log.none", "no log of the build was signed")
        else:
            case.skipped("log", "not checked: none was signed with the image")
    else:
        claims = case.stated_by.claims
        judged = judge_log(registry, reference, evidence, stated, claims, ended_well=True)
        case.checks += judged.checks


def tell_rebuilds(case: Case, evidence: Evidence, policy: Policy) -> None:
    """Whoever built the same again says so: it is told, and raises nothing."""
    if case.measurements is None or case.stated_by is None:
        return
    about = [
        one
        for one in evidence.rebuilds
        if says_the_same(one.predicate, case.measurements, case.stated_by.claims)
    ]
    case.findings += rebuild_findings(about, policy)
    if len(about) < len(evidence.rebuilds) and REBUILD_TYPE not in evidence.others:
        case.note("signature.other-attestation", f"{OTHER_ATTESTATION}: {REBUILD_TYPE}")
