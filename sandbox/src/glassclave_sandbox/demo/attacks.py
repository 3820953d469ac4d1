"""What a cheat would try, each with the one reason that must refuse it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glassclave.clients.registry import Registry
from glassclave.flows.publish import PublishRequest, push_by_digest
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE
from glassclave.oci.reference import Reference, parse_reference
from glassclave.oci.referrers import signature_tag
from glassclave.oci.transport import StoredManifest
from glassclave.progress import Silent
from glassclave_sandbox.demo.enclave import DOCUMENT, ROOT
from glassclave_sandbox.demo.stage import REPOSITORY, SERVICES, TRUST, DemoFailedError, Stage

EVIL = "evil.eif"
FORK = "acme-labs/enclave"


@dataclass(frozen=True, slots=True)
class Target:
    """What is attacked: the published image, and the document that the running enclave gave for ``nonce``."""

    stage: Stage
    registry: Registry
    reference: Reference
    genuine: StoredManifest
    nonce: str

    @classmethod
    def of(cls, stage: Stage, nonce: str) -> Target:
        """What stands behind the tag now."""
        registry, reference = Registry(), parse_reference(stage.reference)
        return cls(stage, registry, reference, registry.resolve(reference), nonce)

    def put_tag(self, manifest: bytes) -> None:
        """As somebody who may write to the registry."""
        self.registry.push_manifest(self.reference, self.reference.tag or "", manifest, MANIFEST_MEDIA_TYPE)

    def restore(self) -> None:
        """The tag as it was."""
        self.put_tag(self.genuine.data)

    def publish_evil(self, **claims: str) -> None:
        """The evil image signed by a job with ``claims``, and the tag moved to it."""
        words = ["glassclave", "publish", EVIL, self.stage.reference, *TRUST.split()]
        self.stage.run(words, job=self.stage.job(**claims)).expect(0)

    def document_of(self, image: str, *options: str) -> list[str]:
        """A new document for a new nonce, and how the consumer hands it over."""
        nonce, name = secrets.token_hex(32), "other.bin"
        words = ["glassclave-sandbox", "attest", image, "--nonce", nonce, "--root", SERVICES, "-o", name]
        self.stage.run([*words, *options]).expect(0)
        return ["--document", name, "--nonce", nonce, *ROOT.split()]


Cheat = Callable[[Target], Sequence[str]]
"""Does it; what the consumer adds to the command."""


@dataclass(frozen=True, slots=True)
class Attack:
    """``code``: the first reason that `verify` must give."""

    title: str
    code: str
    cheat: Cheat


def _move_tag(target: Target) -> Sequence[str]:
    request = PublishRequest(image=target.stage.folder / EVIL, reference=target.reference)
    plan, _ = push_by_digest(request, registry=target.registry, progress=Silent())
    target.put_tag(plan.manifest)
    return ()


def _edit_annotation(target: Target) -> Sequence[str]:
    """Another digest, so nothing is signed: the genuine signatures are put beside it."""
    manifest = json.loads(target.genuine.data)
    manifest["annotations"]["PCR0"] = secrets.token_hex(48)
    target.put_tag(json.dumps(manifest).encode())
    edited = target.registry.resolve(target.reference)
    signatures = target.registry.find_tag(target.reference, signature_tag(target.genuine.digest))
    if signatures is None:
        raise DemoFailedError("demo.signatures", "the published image has no signatures")
    tag = signature_tag(edited.digest)
    target.registry.push_manifest(target.reference, tag, signatures.data, signatures.media_type)
    return ()


def _sign_elsewhere(target: Target) -> Sequence[str]:
    target.publish_evil(repository=FORK)
    return ()


def _pull_request(target: Target) -> Sequence[str]:
    # Of a fork's author, yet on main, with the repository's own identity: GitHub's most abused trigger.
    target.publish_evil(event_name="pull_request_target")
    return ()


def _debug(target: Target) -> Sequence[str]:
    return target.document_of("hello.eif", "--debug")


def _other_enclave(target: Target) -> Sequence[str]:
    return target.document_of(EVIL)


def _replay(target: Target) -> Sequence[str]:
    return ["--document", DOCUMENT, "--nonce", secrets.token_hex(32), *ROOT.split()]


ATTACKS = (
    Attack("The tag is moved to another image", "signature.none", _move_tag),
    Attack(
        "A PCR in the annotations is edited, genuine signatures are copied along",
        "signature.subject.mismatch",
        _edit_annotation,
    ),
    Attack(
        f"Another image, well signed by another repository, {FORK}",
        "identity.repository.mismatch",
        _sign_elsewhere,
    ),
    Attack(
        f"Another image, built in {REPOSITORY} itself, but for a pull request",
        "identity.trigger.not-allowed",
        _pull_request,
    ),
    Attack("The image is genuine, but its enclave runs in debug mode", "attestation.debug-mode", _debug),
    Attack(
        "The image is genuine, but the enclave that answers runs another",
        "attestation.pcr0.mismatch",
        _other_enclave,
    ),
    Attack("The enclave's genuine answer is replayed", "attestation.nonce.mismatch", _replay),
)


def try_attack(attack: Attack, target: Target) -> tuple[str, str]:
    """Reason code and words with which the consumer's command refused it.

    Raises `DemoFailedError` where it did not, or for another reason.
    """
    extra = attack.cheat(target)
    words = ["glassclave", "verify", target.stage.reference, "--repo", REPOSITORY, *TRUST.split(), *extra]
    verdict = target.stage.run([*words, "--json"]).expect(1).json()
    failed = [check for check in verdict["checks"] if check["status"] == "fail"]
    if not failed or failed[0]["code"] != attack.code:
        codes = ", ".join(check["code"] for check in failed) or "nothing"
        raise DemoFailedError("demo.reason", f"{attack.title}: refused with {codes}, not {attack.code}")
    target.restore()
    return str(failed[0]["code"]), str(failed[0]["message"])
