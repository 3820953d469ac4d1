"""What the builder says of the container image that an enclave image was made of."""

from __future__ import annotations

from dataclasses import dataclass

from glassclave.digests import is_oci_digest
from glassclave.errors import ParseError
from glassclave.fields import Fields
from glassclave.provenance.outside import OutsideClaim, outside_record, parse_outside
from glassclave.provenance.strict import hex_text, nullable, nullable_text

_SHA256_SIZE = 32
_MAX_ITEMS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerClaim:
    """How the container image was made of a folder, where `build` had it made.

    ``context``: the folder from the top of its git repository, with ``/``, ``.`` for the top, ``None``: in
    none. ``dockerfile``: its path in the folder; ``dockerfile_sha256``: 32 bytes. ``build_args``: names and
    values, ``secrets``: names alone. ``bases``: name and digest (``sha256:…``, ``None``: not told) of each
    image that it started or copied from; ``added``: addresses that ADD fetched; ``outside``: what its layers
    show of what was fetched, ``None``: nobody looked.
    """

    builder_name: str
    builder_version: str
    context: str | None
    dockerfile: str
    dockerfile_sha256: bytes
    target: str | None
    build_args: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]
    bases: tuple[tuple[str, str | None], ...]
    added: tuple[str, ...]
    outside: OutsideClaim | None = None


def container_record(container: ContainerClaim) -> dict[str, object]:
    """As a JSON value."""
    return {
        "builder": {"name": container.builder_name, "version": container.builder_version},
        "context": container.context,
        "dockerfile": {"path": container.dockerfile, "sha256": container.dockerfile_sha256.hex()},
        "target": container.target,
        "buildArgs": [{"name": name, "value": value} for name, value in container.build_args],
        "secrets": list(container.secrets),
        "bases": [{"name": name, "digest": digest} for name, digest in container.bases],
        "added": list(container.added),
        "outside": container.outside and outside_record(container.outside),
    }


def parse_container(fields: Fields) -> ContainerClaim:
    """Strictly read. `ParseError` ``field.*``, ``hex.*``, ``claims.digest``, ``claims.context``."""
    fields.only(
        "builder", "context", "dockerfile", "target", "buildArgs", "secrets", "bases", "added", "outside"
    )
    builder, dockerfile = fields.child("builder"), fields.child("dockerfile")
    outside = nullable(fields, "outside")
    builder.only("name", "version")
    dockerfile.only("path", "sha256")
    return ContainerClaim(
        builder_name=builder.text("name"),
        builder_version=builder.text("version"),
        context=_parse_context(fields),
        dockerfile=dockerfile.text("path"),
        dockerfile_sha256=hex_text(dockerfile, "sha256", _SHA256_SIZE),
        target=nullable_text(fields, "target"),
        build_args=tuple(_parse_argument(one) for one in fields.objects("buildArgs", limit=_MAX_ITEMS)),
        secrets=fields.texts("secrets", limit=_MAX_ITEMS),
        bases=tuple(_parse_base(base) for base in fields.objects("bases", limit=_MAX_ITEMS)),
        added=fields.texts("added", limit=_MAX_ITEMS),
        outside=None if outside is None else parse_outside(outside),
    )


def is_context(text: str) -> bool:
    """Whether ``text`` names the top of a repository or a folder below it: no part is empty or leads up."""
    parts = text.split("/")
    return text == "." or ("\\" not in text and "\0" not in text and not {"", ".", ".."} & set(parts))


def _parse_context(fields: Fields) -> str | None:
    context = nullable_text(fields, "context")
    if context is not None and not is_context(context):
        raise ParseError(
            "claims.context", "must be a path below the top of a repository, or .", field=fields.at("context")
        )
    return context


def _parse_argument(fields: Fields) -> tuple[str, str]:
    fields.only("name", "value")
    return fields.text("name"), fields.text("value")


def _parse_base(fields: Fields) -> tuple[str, str | None]:
    fields.only("name", "digest")
    digest = nullable_text(fields, "digest")
    if digest is not None and not is_oci_digest(digest):
        raise ParseError("claims.digest", "must be sha256: and 64 hex digits", field=fields.at("digest"))
    return fields.text("name"), digest
