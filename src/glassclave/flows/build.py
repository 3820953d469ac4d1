"""From a container image or a directory to an enclave image file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from glassclave import __version__
from glassclave.bootstrap import Bootstrap, KnownBootstrap, lookup_pcr1
from glassclave.eif.format import Architecture
from glassclave.eif.metadata import Metadata, build_metadata
from glassclave.eif.writer import ImagePlan, WrittenImage, write_image
from glassclave.errors import UsageError
from glassclave.flows.files import measurements_file
from glassclave.image.config import ImageConfig, ProcessOptions, process_of
from glassclave.image.program import program_problem
from glassclave.image.tree import FileTree
from glassclave.progress import Progress
from glassclave.provenance.claimed import BootstrapClaim, Claimed, Recipe, SourceClaim, Unmeasured
from glassclave.provenance.container import ContainerClaim
from glassclave.provenance.predicate import (
    FileDigest,
    Measured,
    MeasurementPredicate,
    SectionDigest,
    predicate_json,
)
from glassclave.ramdisk.application import (
    LAYOUT_NAME,
    LayoutOptions,
    LayoutReport,
    application_ramdisk,
    applied_rules,
    check_attributes,
    lost_attributes,
)
from glassclave.ramdisk.bootstrap import LAYOUT_MTIME, bootstrap_ramdisk
from glassclave.streams import write_atomically

BUILD_TOOL = "glassclave"
MEMORY_FACTOR = 4
"""nitro-cli refuses to run an enclave with less memory than four times its image."""
LEAST_MEMORY_BYTES = 64 << 20
"""Nor with less than 64 MiB (Nitro Enclaves user guide, "run-enclave")."""


def memory_needed(size: int) -> int:
    """Bytes of memory without which an enclave with an image of ``size`` bytes does not start."""
    return max(LEAST_MEMORY_BYTES, MEMORY_FACTOR * size)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build. ``build_time`` (seconds since 1970) is not measured; the default is 1980-01-01.

    ``source``: the commit to name in the measurements file, where the builder knows it; ``container``: how
    the container image was made, where that is known.
    """

    output: Path
    name: str
    version: str = ""
    process: ProcessOptions = field(default_factory=ProcessOptions)
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    build_time: int = LAYOUT_MTIME
    source: SourceClaim | None = None
    container: ContainerClaim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What was built and what was made constant on the way.

    ``predicate`` is what ``measurements_file`` says. ``known``: whose kernel and init these are, if known.
    """

    image: WrittenImage
    predicate: MeasurementPredicate
    measurements_file: Path
    known: KnownBootstrap | None
    bootstrap: Bootstrap
    architecture: Architecture
    layout: LayoutReport
    memory_bytes: int


def build_image(
    tree: FileTree, config: ImageConfig, bootstrap: Bootstrap, request: BuildRequest, progress: Progress
) -> BuildResult:
    """Write the image to ``request.output`` and its measurements beside it: whole files or nothing.

    The measurements of an earlier image go before that image does, so no crash leaves a file beside another
    image's measurements. Raises `UsageError` ``build.*``, `RefusedError` ``build.file-capabilities``,
    `ParseError` of the source.
    """
    architecture = Architecture.of_oci(config.architecture)
    if bootstrap.architecture != architecture.value:
        raise UsageError(
            "build.architecture.mismatch",
            f"the source is for {architecture.value}, the bootstrap for {bootstrap.architecture}",
            hint="give a bootstrap for that architecture: --bootstrap DIR",
        )
    process = process_of(config, request.process)
    problem = program_problem(tree, process)
    if problem is not None:
        progress.warn(
            "build.process.absent", f"the enclave will end at once: its program {process.argv[0]} {problem}"
        )
    check_attributes(tree, request.layout)
    _warn(tree, progress)
    report = LayoutReport()
    metadata = _metadata(config, bootstrap, request)
    plan = ImagePlan(
        architecture=architecture,
        kernel=[bootstrap.kernel],
        cmdline=bootstrap.cmdline,
        metadata=build_metadata(metadata),
        ramdisks=[
            bootstrap_ramdisk(bootstrap.init, bootstrap.nsm_module),
            application_ramdisk(tree, process, request.layout, report),
        ],
    )
    measurements = measurements_file(request.output)
    with write_atomically(request.output) as file:
        image = write_image(file, plan, progress=progress)
        measurements.unlink(missing_ok=True)
    known = lookup_pcr1(image.measurements.pcr1.hex())
    predicate = MeasurementPredicate(
        measured=_measured(image, architecture), claimed=_claimed(bootstrap, known, request, metadata)
    )
    with write_atomically(measurements) as file:
        file.write(predicate_json(predicate))
    return BuildResult(
        image=image,
        predicate=predicate,
        measurements_file=measurements,
        known=known,
        bootstrap=bootstrap,
        architecture=architecture,
        layout=report,
        memory_bytes=memory_needed(image.size),
    )


def _warn(tree: FileTree, progress: Progress) -> None:
    for warning in tree.warnings:
        progress.warn("build.source", warning)
    lost = lost_attributes(tree)
    if lost:
        names = sorted({name for _, name in lost})
        progress.warn(
            "build.attributes",
            f"{len(lost)} extended attributes cannot be kept in a ramdisk: {', '.join(names[:8])}",
        )


def _metadata(config: ImageConfig, bootstrap: Bootstrap, request: BuildRequest) -> Metadata:
    built = datetime.fromtimestamp(request.build_time, UTC)
    return Metadata(
        image_name=request.name,
        image_version=request.version,
        build_time=built.isoformat(),
        build_tool=BUILD_TOOL,
        build_tool_version=__version__,
        operating_system=bootstrap.os_name,
        kernel_version=bootstrap.kernel_version,
        docker_info=config.document,
    )


def _measured(image: WrittenImage, architecture: Architecture) -> Measured:
    if image.file_sha256 is None or image.file_sha384 is None:
        raise ValueError("the image was written without the digests of its file")
    return Measured(
        measurements=image.measurements,
        sections=tuple(
            SectionDigest(type=section.name, size=section.size, sha384=digest)
            for section, digest in zip(image.sections, image.section_digests, strict=True)
        ),
        eif=FileDigest(size=image.size, sha256=image.file_sha256, sha384=image.file_sha384),
        architecture=architecture.value,
        eif_version=image.header.version,
        flags=image.header.flags,
    )


def _claimed(
    bootstrap: Bootstrap, known: KnownBootstrap | None, request: BuildRequest, metadata: Metadata
) -> Claimed:
    return Claimed(
        bootstrap=BootstrapClaim(
            name=bootstrap.name,
            kernel_version=bootstrap.kernel_version,
            pcr1_owner=known.owner if known else None,
        ),
        recipe=_recipe(request.layout),
        source=request.source,
        unmeasured=_unmeasured(metadata),
        container=request.container,
    )


def _recipe(layout: LayoutOptions) -> Recipe:
    return Recipe(
        layout=LAYOUT_NAME,
        mtime=layout.mtime,
        normalizers=tuple(rule.id for rule in applied_rules(layout)),
        drop_file_capabilities=layout.drop_file_capabilities,
        tool_name=BUILD_TOOL,
        tool_version=__version__,
    )


def _unmeasured(metadata: Metadata) -> Unmeasured:
    return Unmeasured(
        image_name=metadata.image_name,
        image_version=metadata.image_version,
        build_time=metadata.build_time,
        build_tool=metadata.build_tool,
        build_tool_version=metadata.build_tool_version,
        operating_system=metadata.operating_system,
        kernel_version=metadata.kernel_version,
    )
