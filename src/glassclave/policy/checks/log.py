"""The log of the build: is it the one that was signed, and of the run that signed it?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from glassclave.buildlog.record import LogRecord, parse_record, record_digest
from glassclave.buildlog.text import decompress, line_count
from glassclave.errors import ParseError
from glassclave.policy.model import same_repository
from glassclave.provenance.claimed import BuildLogClaim
from glassclave.provenance.claims import Claims, repository_of
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.results import Check, Status

STEP = "log"
SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class JudgedLog:
    """``record`` and ``text`` (normalised) are there only where every check passed."""

    checks: tuple[Check, ...]
    record: LogRecord | None = None
    text: bytes | None = None

    @property
    def passed(self) -> bool:
        """Whether it is the log that was signed."""
        return self.record is not None


@dataclass(frozen=True, slots=True)
class SignedLog:
    """A log by what somebody signed of it. ``whole_run``: in a statement of its own, by a later job."""

    whole_run: bool
    judged: JudgedLog
    signature: VerifiedSignature


def check_log(
    stated: BuildLogClaim, record: bytes, text: bytes, claims: Claims, *, ended_well: bool
) -> JudgedLog:
    """Judge a log by what is signed of it, and by the certificate of the one who signed.

    ``record``, ``text``: the two files of the referrer, the text compressed. ``ended_well``: whether a job
    that did not succeed is a failure (of the log of a build it is; of a whole run it is only told).
    Never raises: what cannot be read is a failed check.
    """
    if len(record) != stated.size or record_digest(record) != stated.sha256:
        return refused_log(
            "log.digest.mismatch",
            "is not the log that was signed",
            stated.sha256.hex(),
            record_digest(record).hex(),
        )
    try:
        found = parse_record(record)
        plain = decompress(text, found.text_size)
    except ParseError as error:
        return refused_log(error.code, f"cannot be read: {error}")
    sha256 = hashlib.sha256(plain).digest()
    if sha256 != found.text_sha256 or line_count(plain) != found.text_lines:
        return refused_log(
            "log.text.mismatch", "was changed after it was signed", found.text_sha256.hex(), sha256.hex()
        )
    bad = check_run(found, claims) or (check_ends(found) if ended_well else None)
    if bad is not None:
        return JudgedLog((bad,))
    passed = Check(step=STEP, code=STEP, status=Status.PASS, message=describe_log(found))
    return JudgedLog((passed,), found, plain)


def check_run(record: LogRecord, claims: Claims) -> Check | None:
    """What is wrong where the log is of another run than the certificate; ``None`` where nothing is."""
    repository = repository_of(claims.source_repository_uri or "") or ""
    if not same_repository(repository, record.repository):
        return _failed("log.repository.mismatch", "is of another repository", repository, record.repository)
    if record.commit != claims.source_repository_digest:
        wanted = claims.source_repository_digest
        return _failed("log.commit.mismatch", "is of another commit", wanted, record.commit)
    # The repository's name, equal but for its case, is not compared twice.
    suffix = f"/actions/runs/{record.run_id}/attempts/{record.run_attempt}"
    if not (claims.run_invocation_uri or "").endswith(suffix):
        return _failed("log.run.mismatch", "is of another run", claims.run_invocation_uri, record.run_uri)
    return None


def check_ends(record: LogRecord) -> Check | None:
    """What is wrong where a job failed; a job that kept its log itself could not know how it ends."""
    for job in record.jobs:
        if job.conclusion != SUCCESS and (record.origin != "job" or job.conclusion is not None):
            return _failed(
                "log.job.failed",
                f"says that the job {job.name} did not succeed",
                SUCCESS,
                job.conclusion or "not ended",
            )
    return None


def describe_log(record: LogRecord) -> str:
    """How long it is, of which jobs, who hands it over, and what is missing in it."""
    names = [job.name for job in record.jobs]
    jobs = names[0] if len(names) == 1 else f"{len(names)} jobs"
    origin = "kept by the job itself" if record.origin == "job" else "from GitHub's API"
    parts = [f"{record.text_lines:,} lines of {jobs}, {origin}"]
    if record.masks:
        parts.append(f"{record.masks:,} place{'' if record.masks == 1 else 's'} masked")
    if record.truncated:
        parts.append(f"says in line {record.truncated[0]:,} that something was left out")
    return ", ".join(parts)


def refused_log(code: str, message: str, expected: str | None = None, actual: str | None = None) -> JudgedLog:
    """A log that is none."""
    return JudgedLog((_failed(code, message, expected, actual),))


def _failed(code: str, message: str, expected: str | None, actual: str | None) -> Check:
    return Check(step=STEP, code=code, status=Status.FAIL, message=message, expected=expected, actual=actual)
