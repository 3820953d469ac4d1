"""The part of the predicate that nobody can recompute from the image alone: what the builder says."""

from __future__ import annotations

from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.fields import Fields
from glassclave.provenance.container import ContainerClaim, container_record, parse_container
from glassclave.provenance.strict import hex_text, nullable, nullable_text
from glassclave.sources import is_commit

PRESERVE = "preserve"
"""``recipe.mtime`` of a build in which every file keeps its own time."""

_SHA256_SIZE = 32
_MAX_NORMALIZERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapClaim:
    """Kernel and init. ``pcr1_owner``: whose PCR1 this is in the builder's table, ``None``: unknown there."""

    name: str
    kernel_version: str
    pcr1_owner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the bytes came about: enough to build them again from the same source.

    ``mtime``: seconds since 1970 that every file got, ``None`` where each kept its own.
    """

    layout: str
    mtime: int | None
    normalizers: tuple[str, ...]
    drop_file_capabilities: bool
    tool_name: str
    tool_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceClaim:
    """Where the source is: repository URL, commit (40 or 64 hex digits), ref (``refs/tags/1.0``)."""

    repository: str
    commit: str
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """Content of the metadata section that no PCR covers: whoever makes a file can write anything here."""

    image_name: str
    image_version: str
    build_time: str
    build_tool: str
    build_tool_version: str
    operating_system: str
    kernel_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildLogClaim:
    """A log of the build, kept elsewhere: its size in bytes and 32 bytes of SHA-256."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What the builder says. What may be ``None`` is so where nothing was said."""

    bootstrap: BootstrapClaim
    recipe: Recipe
    source: SourceClaim | None
    unmeasured: Unmeasured
    build_log: BuildLogClaim | None = None
    container: ContainerClaim | None = None


def claimed_record(claimed: Claimed) -> dict[str, object]:
    """As a JSON value with its keys in the order of the specification."""
    recipe, source, log = claimed.recipe, claimed.source, claimed.build_log
    return {
        "bootstrap": {
            "name": claimed.bootstrap.name,
            "kernelVersion": claimed.bootstrap.kernel_version,
            "pcr1Owner": claimed.bootstrap.pcr1_owner,
        },
        "recipe": {
            "layout": recipe.layout,
            "mtime": PRESERVE if recipe.mtime is None else recipe.mtime,
            "normalizers": list(recipe.normalizers),
            "dropFileCapabilities": recipe.drop_file_capabilities,
            "tool": {"name": recipe.tool_name, "version": recipe.tool_version},
        },
        "container": claimed.container and container_record(claimed.container),
        "source": source and {"repository": source.repository, "commit": source.commit, "ref": source.ref},
        "unmeasured": _unmeasured_record(claimed.unmeasured),
        "buildLog": log and {"size": log.size, "sha256": log.sha256.hex()},
    }


def parse_claimed(fields: Fields) -> Claimed:
    """Strictly read. `ParseError` ``field.*``, ``hex.*``, ``claims.*``."""
    fields.only("bootstrap", "recipe", "container", "source", "unmeasured", "buildLog")
    source, log = nullable(fields, "source"), nullable(fields, "buildLog")
    container = nullable(fields, "container")
    return Claimed(
        bootstrap=_parse_bootstrap(fields.child("bootstrap")),
        recipe=_parse_recipe(fields.child("recipe")),
        source=None if source is None else _parse_source(source),
        unmeasured=_parse_unmeasured(fields.child("unmeasured")),
        build_log=None if log is None else _parse_log(log),
        container=None if container is None else parse_container(container),
    )


def _parse_bootstrap(fields: Fields) -> BootstrapClaim:
    fields.only("name", "kernelVersion", "pcr1Owner")
    return BootstrapClaim(
        name=fields.text("name"),
        kernel_version=fields.text("kernelVersion"),
        pcr1_owner=nullable_text(fields, "pcr1Owner"),
    )


def _parse_recipe(fields: Fields) -> Recipe:
    fields.only("layout", "mtime", "normalizers", "dropFileCapabilities", "tool")
    tool = fields.child("tool")
    tool.only("name", "version")
    kept = fields.value("mtime") == PRESERVE
    return Recipe(
        layout=fields.text("layout"),
        mtime=None if kept else fields.integer("mtime", most=0xFFFFFFFF),
        normalizers=fields.texts("normalizers", limit=_MAX_NORMALIZERS),
        drop_file_capabilities=fields.boolean("dropFileCapabilities"),
        tool_name=tool.text("name"),
        tool_version=tool.text("version"),
    )


def _parse_source(fields: Fields) -> SourceClaim:
    fields.only("repository", "commit", "ref")
    commit = fields.text("commit")
    if not is_commit(commit):
        raise ParseError("claims.commit", "must be 40 or 64 lower-case hex digits", field=fields.at("commit"))
    return SourceClaim(repository=fields.text("repository"), commit=commit, ref=fields.text("ref"))


def _unmeasured_record(unmeasured: Unmeasured) -> dict[str, object]:
    return {
        "imageName": unmeasured.image_name,
        "imageVersion": unmeasured.image_version,
        "buildTime": unmeasured.build_time,
        "buildTool": unmeasured.build_tool,
        "buildToolVersion": unmeasured.build_tool_version,
        "operatingSystem": unmeasured.operating_system,
        "kernelVersion": unmeasured.kernel_version,
    }


def _parse_unmeasured(fields: Fields) -> Unmeasured:
    fields.only(
        "imageName",
        "imageVersion",
        "buildTime",
        "buildTool",
        "buildToolVersion",
        "operatingSystem",
        "kernelVersion",
    )
    return Unmeasured(
        image_name=fields.text("imageName"),
        image_version=fields.text("imageVersion"),
        build_time=fields.text("buildTime"),
        build_tool=fields.text("buildTool"),
        build_tool_version=fields.text("buildToolVersion"),
        operating_system=fields.text("operatingSystem"),
        kernel_version=fields.text("kernelVersion"),
    )


def _parse_log(fields: Fields) -> BuildLogClaim:
    fields.only("size", "sha256")
    return BuildLogClaim(size=fields.integer("size"), sha256=hex_text(fields, "sha256", _SHA256_SIZE))
