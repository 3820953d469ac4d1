"""A Nitro Secure Module in software: attestation documents in AWS's form under a root made for one run.

Source: AWS, "attestation process" (nsm-api repository), and what 140 genuine documents look like.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from glassclave.cbor import encode
from glassclave.cose import sign_sign1
from glassclave.digests import pcr_of_digest
from glassclave.errors import UsageError
from glassclave.results import PCR_SIZE
from glassclave_sandbox.authority import Issuer, make_chain
from glassclave_sandbox.names import DEFAULT_INSTANCE, DEFAULT_REGION, module_id_of

PCR_COUNT = 16


class SoftwareNsm:
    """One enclave's NSM: its leaf certificate is issued at ``at``, and lives three hours."""

    def __init__(
        self,
        root: Issuer,
        *,
        at: datetime,
        instance_id: str = DEFAULT_INSTANCE,
        region: str = DEFAULT_REGION,
        module_id: str | None = None,
    ) -> None:
        self.instance_id = instance_id
        self.module_id = module_id_of(instance_id, at) if module_id is None else module_id
        self._chain = make_chain(
            root, at=at, module_id=self.module_id, instance_id=instance_id, region=region
        )

    @property
    def certificate(self) -> bytes:
        """The leaf in DER."""
        return self._chain.leaf.der

    @property
    def cabundle(self) -> list[bytes]:
        """The authorities in DER, root first."""
        return self._chain.cabundle

    def document(
        self,
        *,
        pcrs: Mapping[int, bytes],
        timestamp_ms: int,
        nonce: bytes | None = None,
        user_data: bytes | None = None,
        public_key: bytes | None = None,
    ) -> bytes:
        """A signed document. PCRs 0..15, zero where ``pcrs`` has none; PCR4 is the instance's unless given.

        Zeros for PCR0, 1 and 2 make the document of a debug-mode enclave. Raises `UsageError`.
        """
        return self.sign(
            {
                "module_id": self.module_id,
                "digest": "SHA384",
                "timestamp": timestamp_ms,
                "pcrs": self._all_pcrs(pcrs),
                "certificate": self.certificate,
                "cabundle": self.cabundle,
                "public_key": public_key,
                "user_data": user_data,
                "nonce": nonce,
            }
        )

    def sign(self, payload: Mapping[str, object]) -> bytes:
        """``payload`` as it stands, in an untagged COSE_Sign1 by this NSM's leaf."""
        return sign_sign1(encode(dict(payload)), self._chain.leaf.key)

    def _all_pcrs(self, given: Mapping[int, bytes]) -> dict[int, bytes]:
        pcrs = {index: bytes(PCR_SIZE) for index in range(PCR_COUNT)}
        pcrs[4] = pcr_of_digest(self.instance_id.encode())
        for index, value in given.items():
            if not 0 <= index < 32 or len(value) != PCR_SIZE:
                raise UsageError("sandbox.pcr", f"PCR{index} of {len(value)} bytes is none")
            pcrs[index] = value
        return dict(sorted(pcrs.items()))
