"""What `init` writes for a repository: its workflow, a policy, and what its README tells consumers.

The texts hold names only: their forms were checked before (`flows.init`), so nothing here can end a string.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from glassclave.policy.model import (
    DEFAULT_SOURCE_REFS,
    DEFAULT_TRIGGERS,
    GITHUB_HOSTED,
    GITHUB_ISSUER,
    PUBLIC,
)

WORKFLOW = ".github/workflows/enclave.yml"
POLICY = "enclave-policy.toml"
BEGIN = "<!-- glassclave -->"
END = "<!-- /glassclave -->"


@dataclass(frozen=True, slots=True)
class StarterImage:
    """``folder``: with the Dockerfile, from the repository's root with ``/``.

    ``bootstrap``: folder with kernel and init for arm64, ``None`` for an image of amd64 with ours.
    """

    name: str
    folder: str
    bootstrap: str | None = None

    @property
    def suffix(self) -> str:
        """Behind a tag: an image for arm64 is another one."""
        return "" if self.bootstrap is None else "-arm64"

    @property
    def runner(self) -> str:
        """Where it is built."""
        return "ubuntu-24.04" if self.bootstrap is None else "ubuntu-24.04-arm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """``action``, ``checkout``: what `uses:` names, each with a whole commit id."""

    repository: str
    branch: str
    images: Sequence[StarterImage]
    action: str
    checkout: str

    @property
    def source_refs(self) -> tuple[str, ...]:
        """Refs that the workflow runs for; the usual ones where they say the same."""
        own = f"refs/heads/{self.branch}"
        return DEFAULT_SOURCE_REFS if own in DEFAULT_SOURCE_REFS else ("refs/tags/*", own)

    @property
    def branch_version(self) -> str:
        """Names the default branch in a tag of a registry, which has no slash."""
        return self.branch.replace("/", "-")

    def tag(self, image: StarterImage, version: str) -> str:
        """The artifact's tag: the images of one repository share its place in the registry."""
        return (f"{image.name}-{version}" if self.several_names else version) + image.suffix

    @property
    def several_names(self) -> bool:
        """Whether there is more than one image, however many architectures."""
        return len({image.name for image in self.images}) > 1

    @property
    def both_architectures(self) -> bool:
        """Whether there are images for arm64 beside those for amd64."""
        return any(image.bootstrap is not None for image in self.images)


def workflow_text(project: Project) -> str:
    """The workflow, with no more rights than it needs."""
    several = len(project.images) > 1
    name = "${{ matrix.name }}" if several else project.images[0].name
    folder = "${{ matrix.folder }}" if several else json.dumps(project.images[0].folder)
    version = "${{ github.ref_name }}"
    if "/" in project.branch:
        version = f"${{{{ github.ref_type == 'tag' && github.ref_name || '{project.branch_version}' }}}}"
    tag = f"{name}-{version}" if project.several_names else version
    tag += "${{ matrix.suffix }}" if project.both_architectures else ""
    runner = "${{ matrix.runner }}" if project.both_architectures else "ubuntu-24.04"
    matrix = [
        "    strategy:",
        "      fail-fast: false",
        "      matrix:",
        "        include:",
        *(f"          - {{ {_entry(project, image)} }}" for image in project.images),
    ]
    return "\n".join(
        [
            "# Written by `glassclave init`. Whoever can change this file, or a commit that `uses:` names,",
            "# decides what is signed.",
            "name: Enclave image",
            "",
            "on:",
            "  push:",
            f"    branches: [{json.dumps(project.branch)}]",
            '    tags: ["*"]',
            "",
            "permissions: {}",
            "",
            "concurrency:",
            "  group: enclave-${{ github.ref }}",
            "  cancel-in-progress: false",
            "",
            "jobs:",
            "  enclave:",
            f"    name: Build, push and sign {name}"
            + ("${{ matrix.suffix }}" if project.both_architectures else ""),
            f"    runs-on: {runner}",
            "    timeout-minutes: 60",
            "    permissions:",
            "      contents: read  # to check out",
            "      packages: write  # to push to ghcr.io",
            "      id-token: write  # to sign: the job's identity, for minutes",
            *(matrix if several else []),
            "    steps:",
            "      - name: Check out",
            f"        uses: {project.checkout}",
            "        with:",
            "          persist-credentials: false",
            "      - name: Build, push and sign",
            f"        uses: {project.action}",
            "        with:",
            f"          docker-build-context-path: {folder}",
            "          enable-ghcr-push: true",
            "          enable-artifact-sign: true",
            f'          eif-file-name: "{name}.eif"',
            f'          eif-info-file-name: "{name}.info.json"',
            f'          artifact-tag: "{tag}"',
            *(["          bootstrap: ${{ matrix.bootstrap }}"] if project.both_architectures else []),
            "",
        ]
    )


def _entry(project: Project, image: StarterImage) -> str:
    """One row of the matrix."""
    values = {"name": image.name, "folder": image.folder}
    if project.both_architectures:
        values |= {"suffix": image.suffix, "runner": image.runner, "bootstrap": image.bootstrap or ""}
    return ", ".join(f"{key}: {json.dumps(value)}" for key, value in values.items())


def policy_text(project: Project) -> str:
    """The policy: what names this repository, and every default as a comment."""
    refs = f"source-refs = {json.dumps(project.source_refs)}"
    usual = project.source_refs == DEFAULT_SOURCE_REFS
    return "\n".join(
        [
            f"# What an enclave image of {project.repository} has to show:",
            f"# glassclave verify REF --policy {POLICY}",
            "# A line that is commented out shows what holds without it.",
            "",
            f"repository = {json.dumps(project.repository)}",
            f"signer-workflow = {json.dumps(WORKFLOW)}",
            "",
            f"# {refs}" if usual else refs,
            f"# triggers = {json.dumps(DEFAULT_TRIGGERS)}",
            f"# issuer = {json.dumps(GITHUB_ISSUER)}",
            f'# runner-environment = {json.dumps(GITHUB_HOSTED)}  # or "any"',
            f'# visibility = {json.dumps(PUBLIC)}  # "any" for a private repository',
            "# To allow one commit only, which has been read: source-digest = COMMIT, in quotes",
            "",
        ]
    )


def readme_text(project: Project) -> str:
    """The section for consumers, between its markers."""
    images = project.images
    newest = project.tag(images[0], project.branch_version)
    place = f"ghcr.io/{project.repository.lower()}"
    return "\n".join(
        [
            BEGIN,
            f"## Enclave image{'s' if len(images) > 1 else ''}",
            "",
            f"Built, pushed and signed by [the workflow]({WORKFLOW}). In place of `VERSION` write a git tag.",
            f"The newest state of `{project.branch}` is `{place}:{newest}`,"
            f" signed as `@refs/heads/{project.branch}`.",
            "",
            "`glassclave` measures the image and says which commit and which workflow it comes from:",
            "",
            "```sh",
            *(_verify(project, f"{place}:{project.tag(image, 'VERSION')}") for image in images),
            "```",
            "",
            "`cosign` checks the signature alone:",
            "",
            "```sh",
            *(_cosign(project, f"{place}:{project.tag(image, 'VERSION')}") for image in images),
            "```",
            END,
            "",
        ]
    )


def _verify(project: Project, reference: str) -> str:
    words = ["glassclave", "verify", reference, "--repo", project.repository, "--signer-workflow", WORKFLOW]
    if project.source_refs != DEFAULT_SOURCE_REFS:
        words += [word for ref in project.source_refs for word in ("--source-ref", ref)]
    return shlex.join(words)


def _cosign(project: Project, reference: str) -> str:
    identity = f"https://github.com/{project.repository}/{WORKFLOW}@refs/tags/VERSION"
    words = ["cosign", "verify", "--certificate-oidc-issuer", GITHUB_ISSUER]
    return shlex.join([*words, "--certificate-identity", identity, reference])
