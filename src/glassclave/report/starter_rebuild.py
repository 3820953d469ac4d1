"""The workflow of `init --rebuild`: once a week each released image is built again, in a job of its own.

One pair of jobs an image, and no matrix: the outputs of a matrix' jobs would overwrite each other.
"""

from __future__ import annotations

import hashlib
import json

from glassclave.report.starter import POLICY, Project, StarterImage

REBUILD_WORKFLOW = ".github/workflows/enclave-rebuild.yml"


def rebuild_workflow_text(project: Project) -> str:
    """The workflow, each job with no more rights than it needs."""
    several = project.several_names
    # Kernel and init of an image for arm64 are not ours, and lie in no place that this job would know.
    again = [image for image in project.images if image.bootstrap is None]
    jobs = [
        line
        for number, image in enumerate(again, start=1)
        for line in _jobs(project, image, f"-{number}" if several else "", several=several)
    ]
    return "\n".join(
        [
            "# Written by `glassclave init --rebuild`. Whoever can change this file, or a commit that",
            "# `uses:` names, decides what is signed.",
            "name: Enclave rebuild",
            "",
            "on:",
            "  schedule:",
            f'    - cron: "{_weekly(project.repository)}"',
            "  workflow_dispatch:",
            "    inputs:",
            "      version:",
            "        description: Version to build again, instead of the newest tag",
            "        required: false",
            "        type: string",
            "",
            "permissions: {}",
            "",
            "concurrency:",
            "  group: enclave-rebuild",
            "  cancel-in-progress: false",
            "",
            "jobs:",
            *jobs,
        ]
    )


def _jobs(project: Project, image: StarterImage, suffix: str, *, several: bool) -> list[str]:
    return [
        f"  rebuild{suffix}:",
        f"    name: Rebuild {image.name}",
        "    runs-on: ubuntu-24.04",
        "    timeout-minutes: 60",
        "    permissions:",
        "      contents: read  # to check out",
        "      packages: write  # to push the statement, where it is equal",
        "      id-token: write  # to sign it: the job's identity, for minutes",
        "    outputs:",
        *(
            f"      {name}: ${{{{ steps.rebuild.outputs.{name} }}}}"
            for name in ("result", "reference", "report")
        ),
        "    steps:",
        "      - name: Check out",
        f"        uses: {project.checkout}",
        "        with:",
        "          fetch-depth: 0  # for the newest tag",
        "          persist-credentials: false",
        "      - name: Rebuild",
        "        id: rebuild",
        f"        uses: {_sub(project.action, 'rebuild')}",
        "        with:",
        *([f"          image: {json.dumps(image.name)}"] if several else []),
        "          version: ${{ inputs.version }}",
        f"          policy: {POLICY}",
        "          sign: true",
        "",
        f"  issue{suffix}:",
        f"    name: Tell what differs in {image.name}",
        f"    needs: rebuild{suffix}",
        f"    if: ${{{{ needs.rebuild{suffix}.outputs.result != 'equal' }}}}",
        "    runs-on: ubuntu-24.04",
        "    timeout-minutes: 10",
        "    permissions:",
        "      issues: write  # to open one, or to comment on it",
        "    steps:",
        "      - name: Open an issue",
        f"        uses: {_sub(project.action, 'rebuild/issue')}",
        "        with:",
        *(
            f"          {name}: ${{{{ needs.rebuild{suffix}.outputs.{name} }}}}"
            for name in ("reference", "result", "report")
        ),
        "",
    ]


def _sub(action: str, folder: str) -> str:
    """An action in a folder of the repository of ours, at the same commit."""
    name, _, commit = action.partition("@")
    return f"{name}/{folder}@{commit}"


def _weekly(repository: str) -> str:
    """Monday, early, at a minute of its own: not everybody's runs start at once."""
    return f"{hashlib.sha256(repository.encode()).digest()[0] % 60} 4 * * 1"
