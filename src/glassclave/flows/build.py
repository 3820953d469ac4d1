"""From a container image or a directory to an enclave image file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from glassclave import __version__
from glassclave.bootstrap import Bootstrap
from glassclave.eif.format import Architecture
from glassclave.eif.metadata import Metadata, build_metadata
from glassclave.eif.writer import ImagePlan, WrittenImage, write_image
from glassclave.errors import UsageError
from glassclave.image.config import ImageConfig, ProcessOptions, process_of
from glassclave.image.tree import FileTree
from glassclave.progress import Progress
from glassclave.ramdisk.application import (
    LayoutOptions,
    LayoutReport,
    application_ramdisk,
    check_attributes,
    lost_attributes,
)
from glassclave.ramdisk.bootstrap import LAYOUT_MTIME, bootstrap_ramdisk
from glassclave.streams import write_atomically

BUILD_TOOL = "glassclave"
MEMORY_FACTOR = 4
"""nitro-cli refuses to run an enclave with less memory than four times its image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build. ``build_time`` (seconds since 1970) is not measured; the default is 1980-01-01."""

    output: Path
    name: str
    version: str = ""
    process: ProcessOptions = field(default_factory=ProcessOptions)
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    build_time: int = LAYOUT_MTIME


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What was built and what was made constant on the way."""

    image: WrittenImage
    bootstrap: Bootstrap
    architecture: Architecture
    layout: LayoutReport
    memory_bytes: int


def build_image(
    tree: FileTree, config: ImageConfig, bootstrap: Bootstrap, request: BuildRequest, progress: Progress
) -> BuildResult:
    """Write the image to ``request.output``: the whole file or nothing.

    Raises `UsageError` ``build.*``, `RefusedError` ``build.file-capabilities``, `ParseError` of the source.
    """
    architecture = Architecture.of_oci(config.architecture)
    if bootstrap.architecture != architecture.value:
        raise UsageError(
            "build.architecture.mismatch",
            f"the source is for {architecture.value}, the bootstrap for {bootstrap.architecture}",
            hint="give a bootstrap for that architecture: --bootstrap DIR",
        )
    process = process_of(config, request.process)
    check_attributes(tree, request.layout)
    _warn(tree, progress)
    report = LayoutReport()
    plan = ImagePlan(
        architecture=architecture,
        kernel=[bootstrap.kernel],
        cmdline=bootstrap.cmdline,
        metadata=build_metadata(_metadata(config, bootstrap, request)),
        ramdisks=[
            bootstrap_ramdisk(bootstrap.init, bootstrap.nsm_module),
            application_ramdisk(tree, process, request.layout, report),
        ],
    )
    with write_atomically(request.output) as file:
        image = write_image(file, plan, progress=progress)
    return BuildResult(
        image=image,
        bootstrap=bootstrap,
        architecture=architecture,
        layout=report,
        memory_bytes=MEMORY_FACTOR * image.size,
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
