"""The JSON document of an image: what ``nitro-cli describe-eif`` 1.5 prints, then keys of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glassclave.eif.format import SectionType
from glassclave.eif.inspection import Inspection
from glassclave.eif.metadata import GENUINE_KEYS, Metadata
from glassclave.results import Finding, Measurements

if TYPE_CHECKING:
    from glassclave.eif.certificate import SigningCertificate

HASH_ALGORITHM = "Sha512_48 { .. }"
"""nitro-cli prints the Rust debug form of its SHA-384 object; this is that of 1.5.0 and later."""


def describe(inspection: Inspection) -> dict[str, object]:
    """JSON-able document with the keys of ``describe-eif``, in its order and spelling.

    Then ours: ``Sections``, ``Unmeasured``, ``Findings``. Custom metadata stands beside the genuine keys
    under ``Metadata`` as there, except what would shadow one. Without measurements there is no ``PCRn``.
    """
    document: dict[str, object] = {
        "EifVersion": inspection.header.version,
        "Measurements": describe_measurements(inspection.measurements),
        "IsSigned": inspection.signature is not None,
    }
    if inspection.signature is not None:
        document["SigningCertificate"] = _certificate(inspection.signature.certificate)
    document["CheckCRC"] = inspection.crc_ok
    if inspection.signature_ok is not None:
        document["SignatureCheck"] = inspection.signature_ok
    if inspection.metadata is not None:
        document["ImageName"] = inspection.metadata.image_name
        document["ImageVersion"] = inspection.metadata.image_version
        document["Metadata"] = _metadata(inspection.metadata)
    document["Sections"] = _sections(inspection)
    document["Unmeasured"] = _unmeasured(inspection)
    document["Findings"] = [_finding(finding) for finding in inspection.findings]
    return document


def describe_measurements(measurements: Measurements | None) -> dict[str, str]:
    """``HashAlgorithm`` and ``PCRn`` as lower-case hex, in nitro-cli's order."""
    registers = {} if measurements is None else measurements.by_index()
    return {"HashAlgorithm": HASH_ALGORITHM} | {f"PCR{i}": value.hex() for i, value in registers.items()}


def measured_into(inspection: Inspection) -> tuple[tuple[str, ...], ...]:
    """For each section the registers that its data enters."""
    result: list[tuple[str, ...]] = []
    ramdisks = 0
    for section in inspection.sections:
        if section.type == SectionType.RAMDISK:
            ramdisks += 1
            result.append(("PCR0", "PCR1") if ramdisks == 1 else ("PCR0", "PCR2"))
        elif section.type in (SectionType.KERNEL, SectionType.CMDLINE):
            result.append(("PCR0", "PCR1"))
        elif section.type == SectionType.SIGNATURE and inspection.signature is not None:
            result.append(("PCR8",))
        else:
            result.append(())
    return tuple(result)


def _certificate(certificate: SigningCertificate) -> dict[str, object]:
    from glassclave.eif.certificate import openssl_time  # loaded already, where there is a certificate

    return {
        "IssuerName": certificate.issuer,
        "Algorithm": certificate.algorithm,
        "NotBefore": openssl_time(certificate.not_before),
        "NotAfter": openssl_time(certificate.not_after),
        "Signature": certificate.signature.hex(":").upper(),
    }


def _metadata(metadata: Metadata) -> dict[str, object]:
    genuine: dict[str, object] = {
        "BuildTime": metadata.build_time,
        "BuildTool": metadata.build_tool,
        "BuildToolVersion": metadata.build_tool_version,
        "OperatingSystem": metadata.operating_system,
        "KernelVersion": metadata.kernel_version,
        "DockerInfo": metadata.docker_info,
    }
    custom = metadata.custom if isinstance(metadata.custom, dict) else {}
    return genuine | {key: custom[key] for key in sorted(custom) if key not in GENUINE_KEYS}


def _sections(inspection: Inspection) -> list[dict[str, object]]:
    digests = inspection.section_digests or (None,) * len(inspection.sections)
    return [
        {
            "Type": section.name,
            "Offset": section.offset,
            "Size": section.size,
            "Sha384": None if digest is None else digest.hex(),
            "MeasuredInto": list(registers),
        }
        for section, digest, registers in zip(
            inspection.sections, digests, measured_into(inspection), strict=True
        )
    ]


def _unmeasured(inspection: Inspection) -> dict[str, object]:
    """What no PCR covers: anyone can change it and the PCRs stay."""
    header = inspection.header
    return {
        "Architecture": header.architecture.value,
        "Flags": header.flags,
        "DefaultMemoryBytes": header.default_memory_bytes,
        "DefaultCpus": header.default_cpus,
        "Crc32": f"{header.crc32:08x}",
        "FileSize": inspection.size,
        "Keys": ["ImageName", "ImageVersion", "Metadata", "SigningCertificate"],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "Code": finding.code,
        "Severity": finding.severity.value,
        "Message": finding.message,
        "Where": finding.where,
    }
