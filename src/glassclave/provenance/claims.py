"""What a Fulcio certificate says of the run it was issued to (fulcio ``docs/oid-info.md``).

Extensions 1 to 6 are raw UTF-8, 8 to 24 a DER UTF8String. All are optional; one that is there twice, in
another form, or contradicts its older twin is an error: two readers must never see two identities.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from glassclave.errors import ParseError, RefusedError

ARC = "1.3.6.1.4.1.57264.1."
_GITHUB = "https://github.com/"
_MAX_VALUE = 4096
# The library parses a field when it is asked for, and has an error of its own for each unknown thing.
_UNREADABLE = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)

_RAW = {
    "1": "issuer_v1",
    "2": "trigger_v1",
    "3": "digest_v1",
    "4": "workflow_name_v1",
    "5": "repository_v1",
    "6": "ref_v1",
}
_DER = {
    "8": "issuer",
    "9": "build_signer_uri",
    "10": "build_signer_digest",
    "11": "runner_environment",
    "12": "source_repository_uri",
    "13": "source_repository_digest",
    "14": "source_repository_ref",
    "15": "source_repository_identifier",
    "16": "source_repository_owner_uri",
    "17": "source_repository_owner_identifier",
    "18": "build_config_uri",
    "19": "build_config_digest",
    "20": "build_trigger",
    "21": "run_invocation_uri",
    "22": "visibility",
    "23": "deployment_environment",
    "24": "token_subject",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The certificate's claims, each ``None`` where it is absent. Names follow Fulcio's."""

    san_uri: str | None = None
    issuer: str | None = None
    build_signer_uri: str | None = None
    build_signer_digest: str | None = None
    runner_environment: str | None = None
    source_repository_uri: str | None = None
    source_repository_digest: str | None = None
    source_repository_ref: str | None = None
    source_repository_identifier: str | None = None
    source_repository_owner_uri: str | None = None
    source_repository_owner_identifier: str | None = None
    build_config_uri: str | None = None
    build_config_digest: str | None = None
    build_trigger: str | None = None
    run_invocation_uri: str | None = None
    visibility: str | None = None
    deployment_environment: str | None = None
    token_subject: str | None = None
    issuer_v1: str | None = None
    trigger_v1: str | None = None
    digest_v1: str | None = None
    workflow_name_v1: str | None = None
    repository_v1: str | None = None
    ref_v1: str | None = None

    def present(self) -> dict[str, str]:
        """Only the claims that are there, by name."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, slots=True)
class WorkflowUri:
    """A workflow at a ref: ``owner/name``, path in that repository, ref."""

    repository: str
    path: str
    ref: str


def parse_claims(certificate_der: bytes) -> Claims:
    """Claims of a certificate. Raises `ParseError` ``signature.certificate.*`` for malformed ones,
    `RefusedError` ``identity.claims.inconsistent`` where two of them contradict each other."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        extensions = list(certificate.extensions)
    except _UNREADABLE as error:
        raise ParseError("signature.certificate.form", f"is no certificate: {error}") from error
    values: dict[str, str] = {}
    for extension in extensions:
        dotted = extension.oid.dotted_string
        if not dotted.startswith(ARC) or not isinstance(extension.value, x509.UnrecognizedExtension):
            continue
        number = dotted.removeprefix(ARC)  # "8.1" is not "8"
        raw = extension.value.value
        if number in _RAW:
            values[_RAW[number]] = _text(raw, dotted)
        elif number in _DER:
            values[_DER[number]] = _text(_utf8_string(raw, dotted), dotted)
    claims = Claims(**values, san_uri=_san_uri(certificate))
    _check_consistency(claims)
    return claims


def _san_uri(certificate: x509.Certificate) -> str | None:
    """The one URI of the subject alternative name; ``None`` for another kind of name (a person's address)."""
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound as error:
        raise ParseError("signature.certificate.san", "names no subject") from error
    if len(names) != 1:
        raise ParseError(
            "signature.certificate.san", f"has {len(names)} subject names, exactly one is needed"
        )
    name = names[0]
    return name.value if isinstance(name, x509.UniformResourceIdentifier) else None


def _utf8_string(raw: bytes, dotted: str) -> bytes:
    """Content of a DER UTF8String of the shortest form that ends with the value (X.690 §8.1.3, §10.1)."""
    if len(raw) < 2 or raw[0] != 0x0C:
        raise ParseError("signature.certificate.claim", "is no DER UTF8String", field=dotted)
    length, start = raw[1], 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(raw[2 : 2 + count], "big")
        start = 2 + count
        if count not in (1, 2) or length < (0x80 if count == 1 else 0x100):
            raise ParseError("signature.certificate.claim", "has a length not in DER's form", field=dotted)
    if len(raw) != start + length:
        raise ParseError("signature.certificate.claim", "has another length than it says", field=dotted)
    return raw[start:]


def _text(raw: bytes, dotted: str) -> str:
    if len(raw) > _MAX_VALUE:
        raise ParseError("signature.certificate.claim", f"is longer than {_MAX_VALUE} bytes", field=dotted)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError("signature.certificate.claim", "is not UTF-8", field=dotted) from error
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ParseError("signature.certificate.claim", "holds a control character", field=dotted)
    return text


def _check_consistency(claims: Claims) -> None:
    """Relations that hold in every certificate of an honest run (an absent value contradicts nothing)."""
    repository = claims.source_repository_uri
    pairs = (
        ("issuer", claims.issuer, claims.issuer_v1),
        ("trigger", claims.build_trigger, claims.trigger_v1),
        ("commit", claims.source_repository_digest, claims.digest_v1),
        ("ref", claims.source_repository_ref, claims.ref_v1),
        ("repository", repository, claims.repository_v1 and _GITHUB + claims.repository_v1),
        ("signer", claims.san_uri, claims.build_signer_uri),
    )
    for name, left, right in pairs:
        if left is not None and right is not None and left != right:
            raise _inconsistent(name, left, right)
    if repository is not None:
        run, owner = claims.run_invocation_uri, claims.source_repository_owner_uri
        if run is not None and not run.startswith(repository + "/actions/runs/"):
            raise _inconsistent("run", repository, run)
        if owner is not None and not repository.startswith(owner + "/"):
            raise _inconsistent("owner", repository, owner)


def _inconsistent(name: str, left: str, right: str) -> RefusedError:
    return RefusedError(
        "identity.claims.inconsistent",
        f"the certificate says two things of its {name}: {left[:200]!r} and {right[:200]!r}",
    )


def repository_of(uri: str) -> str | None:
    """``owner/name`` of a GitHub repository's address, else ``None``."""
    path = uri.removeprefix(_GITHUB)
    if path == uri or path.count("/") != 1 or not all(path.split("/")):
        return None
    return path


def split_workflow_uri(uri: str) -> WorkflowUri | None:
    """``https://github.com/OWNER/NAME/PATH@REF`` in its parts, else ``None``."""
    path = uri.removeprefix(_GITHUB)
    place, _, ref = path.partition("@")
    parts = place.split("/", 2)
    if path == uri or not ref or len(parts) != 3 or not all(parts):
        return None
    return WorkflowUri(repository="/".join(parts[:2]), path=parts[2], ref=ref)


def foreign_signer(claims: Claims) -> str | None:
    """``OWNER/NAME/PATH`` of the workflow that signed, where another repository than the run's has it."""
    repository = repository_of(claims.source_repository_uri or "")
    signer = split_workflow_uri(claims.build_signer_uri or "")
    if repository is None or signer is None or signer.repository.lower() == repository.lower():
        return None
    return f"{signer.repository}/{signer.path}"
