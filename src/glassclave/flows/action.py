"""What a GitHub workflow asks of our action: its inputs, read strictly, before anything is built.

Most have names and meaning of nitro-enclaves-eif-build-action, so that a workflow written for it works with
another `uses:` line (``docs/action.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glassclave.digests import parse_hex
from glassclave.errors import ParseError, UsageError
from glassclave.flows.files import measurements_file
from glassclave.oci.reference import Reference, parse_reference
from glassclave.results import PCR_SIZE

PREFIX = "INPUT_"
GHCR = "ghcr.io"
_NAME = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z._-]*\Z")
_EXPECTED = re.compile(r"PCR([0128])\s*[=:]\s*([0-9a-fA-F]+)\Z")
_GONE = {
    "enable-github-attest": "enable-artifact-sign: true (a Sigstore bundle is pushed as a referrer)",
    "github-attest-bundle-path": "the outputs ghcr-artifact-path and rekor-log-index",
}
"""Inputs of an earlier version of that action, and what stands in their place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """``reference``: where to push, ``None`` for nowhere. ``expected``: PCR number to its value."""

    context: Path
    dockerfile: Path
    eif: Path
    info: Path
    reference: Reference | None
    sign: bool
    annotate: bool
    token: str
    architecture: str
    builder: str | None
    bootstrap: Path | None
    trust_config: Path | None
    twice: bool
    normalize: bool
    log_archive: bool
    expected: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The environment of a step, with the inputs under their names."""

    environment: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """Without blanks around it."""
        return self.environment.get(PREFIX + name.replace("-", "_").upper(), "").strip() or default

    def flag(self, name: str, default: str = "false") -> bool:
        """``true`` or ``false`` and nothing else."""
        value = self.text(name, default)
        if value not in ("true", "false"):
            raise _wrong(name, f"is {value[:40]!r}", "write true or false")
        return value == "true"

    def name(self, name: str, default: str) -> str:
        """A name that is safe for a file and a tag."""
        value = self.text(name, default)
        if _NAME.match(value) is None:
            raise _wrong(
                name, f"is {value[:80]!r}", "use letters, digits, '.', '_' and '-', a letter or digit first"
            )
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """One of the ``allowed``."""
        value = self.text(name, default)
        if value not in allowed:
            raise _wrong(name, f"is {value[:40]!r}", f"write one of {', '.join(filter(None, allowed))}")
        return value


def _wrong(name: str, message: str, hint: str) -> UsageError:
    return UsageError("action.input", f"the input {name} {message}", field=name, hint=hint)


def parse_request(environment: Mapping[str, str]) -> ActionRequest:
    """The request in a step's environment. `UsageError` ``action.*`` with the input's name and what to do."""
    inputs = Inputs(environment)
    for gone, instead in _GONE.items():
        if inputs.text(gone):
            raise UsageError(
                "action.gone", f"the input {gone} is not there any more", field=gone, hint=f"use {instead}"
            )
    push, sign, annotate = (
        inputs.flag(name) for name in ("enable-ghcr-push", "enable-artifact-sign", "save-pcrs-in-annotation")
    )
    for name, asked in (("enable-artifact-sign", sign), ("save-pcrs-in-annotation", annotate)):
        if asked and not push:
            raise _wrong(name, "is true and nothing is pushed", "set enable-ghcr-push: true as well")
    workspace = Path(environment.get("GITHUB_WORKSPACE", "."))
    context = workspace / inputs.text("docker-build-context-path", ".")
    eif, info = (
        workspace / inputs.name(*pair)
        for pair in (("eif-file-name", "enclave.eif"), ("eif-info-file-name", "enclave.info.json"))
    )
    if info in (eif, measurements_file(eif)):
        raise _wrong("eif-info-file-name", "is the name of another file of the build", "write another name")
    return ActionRequest(
        context=context,
        dockerfile=_dockerfile(context, workspace, inputs.text("dockerfile-path", "Dockerfile")),
        eif=eif,
        info=info,
        reference=_reference(inputs, environment) if push else None,
        sign=sign,
        annotate=annotate,
        token=inputs.text("github-token"),
        architecture=inputs.choice("architecture", ("amd64", "arm64"), _architecture(environment)),
        builder=inputs.choice("builder", ("", "docker", "buildah", "buildx"), "") or None,
        bootstrap=_path(workspace, inputs.text("bootstrap")),
        trust_config=_path(workspace, inputs.text("trust-config")),
        twice=inputs.flag("twice"),
        normalize=inputs.flag("normalize", "true"),
        log_archive=inputs.flag("log-archive", "true"),
        expected=_expected(inputs.text("expected-pcrs")),
    )


def _path(workspace: Path, text: str) -> Path | None:
    return workspace / text if text else None


def _architecture(environment: Mapping[str, str]) -> str:
    """Of the runner that the workflow asked for."""
    return "arm64" if environment.get("RUNNER_ARCH") == "ARM64" else "amd64"


def _dockerfile(context: Path, workspace: Path, text: str) -> Path:
    """In the folder that is built, else in the workspace: workflows say it in either way."""
    inside = context / text
    return inside if inside.is_file() or not (workspace / text).is_file() else workspace / text


def _reference(inputs: Inputs, environment: Mapping[str, str]) -> Reference:
    for name in ("eif-file-name", "eif-info-file-name", "artifact-tag", "github-token"):
        if not inputs.text(name):
            raise _wrong(name, "is needed to push", f"set {name} as well as enable-ghcr-push")
    repository = environment.get("GITHUB_REPOSITORY", "")
    place = inputs.text("registry", f"{GHCR}/{repository.lower()}")
    tag = inputs.name("artifact-tag", "")
    try:
        return parse_reference(f"{place}:{tag}")
    except UsageError as error:
        raise _wrong("registry", error.message, "write HOST/REPOSITORY, without a tag") from error


def _expected(text: str) -> Mapping[int, bytes]:
    """Lines ``PCR0=hex``."""
    found: dict[int, bytes] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _EXPECTED.match(line)
        try:
            if match is None:
                raise ParseError("hex.syntax", "is not PCR0=HEX")
            found[int(match[1])] = parse_hex(match[2].lower(), field="expected-pcrs", size=PCR_SIZE)
        except ParseError as error:
            raise _wrong(
                "expected-pcrs", f"has a line that {error.message}", "write PCR0=HEX, one a line"
            ) from error
    return found
