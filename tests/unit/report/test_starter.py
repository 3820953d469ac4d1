"""What `init` writes: the workflow asks what the action takes, the policy loads, the lines are whole."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from glassclave.flows.action import parse_request
from glassclave.policy.file import load_policy
from glassclave.policy.model import Policy, matches_ref
from glassclave.report.starter import Project, StarterImage, policy_text, readme_text, workflow_text
from glassclave.report.starter_rebuild import rebuild_workflow_text

ROOT = Path(__file__).resolve().parents[3]
ACTION = f"acme/glassclave@{'a1' * 20}"
COMMIT = "b2" * 20
SEVERAL = (StarterImage("api", "s/api"), StarterImage("web", "s/web"))
BOTH = (StarterImage("hello", "."), StarterImage("hello", ".", "boot/arm64"))


def project(*images: StarterImage, branch: str = "main") -> Project:
    return Project(
        repository="acme/Hello",
        branch=branch,
        images=images or (StarterImage("hello", "."),),
        action=ACTION,
        checkout=f"actions/checkout@{COMMIT}",
    )


def texts(found: Project) -> tuple[str, str, str]:
    return workflow_text(found), policy_text(found), readme_text(found)


def filled(text: str, row: dict[str, str]) -> str:
    """With a row of the matrix filled in."""
    for key, value in row.items():
        text = text.replace(f"${{{{ matrix.{key} }}}}", value)
    return text


@pytest.mark.parametrize("images", [(), SEVERAL, BOTH], ids=["one", "several", "arm64"])
@pytest.mark.parametrize("branch", ["main", "trunk", "release/next"])
def test_the_workflow_asks_what_the_action_takes(images: tuple[StarterImage, ...], branch: str) -> None:
    workflow = yaml.load(texts(project(*images, branch=branch))[0], Loader=yaml.BaseLoader)
    assert workflow["on"] == {"push": {"branches": [branch], "tags": ["*"]}}
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read", "packages": "write", "id-token": "write"}
    checkout, action = job["steps"]
    assert checkout["uses"] == f"actions/checkout@{COMMIT}"
    assert checkout["with"] == {"persist-credentials": "false"}
    assert action["uses"] == ACTION
    known = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    assert set(action["with"]) <= set(known)
    rows = job["strategy"]["matrix"]["include"] if images else [{"name": "hello", "folder": "."}]
    tags, kernels = [], []
    for row in rows:
        inputs = {
            f"INPUT_{name.replace('-', '_').upper()}": filled(value, row)
            .replace("${{ github.ref_name }}", "1.0")
            .replace("${{ github.ref_type == 'tag' && github.ref_name || 'release-next' }}", "1.0")
            for name, value in action["with"].items()
        }
        where = {"GITHUB_REPOSITORY": "acme/Hello", "GITHUB_WORKSPACE": "/w"}
        request = parse_request(inputs | where | {"INPUT_GITHUB_TOKEN": "given"})
        assert request.sign
        assert request.context == Path("/w") / row["folder"]
        assert request.eif == Path("/w") / f"{row['name']}.eif"
        tags.append(str(request.reference).removeprefix("ghcr.io/acme/hello:"))
        kernels.append(request.bootstrap)
    wanted: dict[tuple[StarterImage, ...], list[str]] = {
        (): ["1.0"],
        SEVERAL: ["api-1.0", "web-1.0"],
        BOTH: ["1.0", "1.0-arm64"],
    }
    assert tags == wanted[images]
    assert kernels == ([None, Path("/w/boot/arm64")] if images is BOTH else [None] * len(rows))
    runners = [filled(job["runs-on"], row) for row in rows]
    assert runners == ["ubuntu-24.04", "ubuntu-24.04-arm" if images is BOTH else "ubuntu-24.04"][: len(rows)]


@pytest.mark.parametrize("branch", ["main", "master", "trunk", "release/next"])
def test_the_policy_is_one(branch: str) -> None:
    _, text, _ = texts(project(branch=branch))
    policy = load_policy(text.encode(), source="p")
    usual = Policy(repository="acme/Hello", signer_workflow=".github/workflows/enclave.yml")
    if branch in ("main", "master"):
        assert policy == usual
    else:
        assert policy == replace(usual, source_refs=("refs/tags/*", f"refs/heads/{branch}"))
    assert any(matches_ref(f"refs/heads/{branch}", pattern) for pattern in policy.source_refs)


def test_what_the_policy_comments_out_is_what_holds() -> None:
    _, text, _ = texts(project())
    opened = text.replace("# source-refs", "source-refs").replace("# visibility", "visibility")
    for key in ("triggers", "issuer", "runner-environment"):
        opened = opened.replace(f"# {key}", key)
    assert opened.count("\nsource-refs") == opened.count("\ntriggers") == opened.count("\nvisibility") == 1
    assert load_policy(opened.encode(), source="p") == load_policy(text.encode(), source="p")


def test_the_section_names_every_image_and_its_signer() -> None:
    _, _, section = texts(project(*SEVERAL, branch="trunk"))
    lines = [
        shlex.split(line) for line in section.splitlines() if line.startswith(("glassclave ", "cosign "))
    ]
    assert [line[:2] for line in lines] == [["glassclave", "verify"]] * 2 + [["cosign", "verify"]] * 2
    assert lines[0][2:] == [
        "ghcr.io/acme/hello:api-VERSION",
        *("--repo", "acme/Hello", "--signer-workflow", ".github/workflows/enclave.yml"),
        *("--source-ref", "refs/tags/*", "--source-ref", "refs/heads/trunk"),
    ]
    assert lines[3][2:] == [
        *("--certificate-oidc-issuer", "https://token.actions.githubusercontent.com"),
        "--certificate-identity",
        "https://github.com/acme/Hello/.github/workflows/enclave.yml@refs/tags/VERSION",
        "ghcr.io/acme/hello:web-VERSION",
    ]


@pytest.mark.parametrize("images", [(), SEVERAL], ids=["one", "several"])
def test_the_weekly_workflow_asks_what_its_actions_take(images: tuple[StarterImage, ...]) -> None:
    found = project(*images)
    workflow = yaml.load(rebuild_workflow_text(found), Loader=yaml.BaseLoader)
    assert sorted(workflow["on"]) == ["schedule", "workflow_dispatch"]
    ((cron,),) = (entry.values() for entry in workflow["on"]["schedule"])
    minute, *rest = cron.split()
    assert (0 <= int(minute) < 60, rest) == (True, ["4", "*", "*", "1"])
    assert workflow["permissions"] == {}
    name, _, commit = ACTION.partition("@")
    jobs = list(workflow["jobs"].items())
    assert len(jobs) == 2 * max(1, len(images))
    for index in range(0, len(jobs), 2):
        (key, rebuild), (_, issue) = jobs[index : index + 2]
        assert rebuild["permissions"] == {"contents": "read", "packages": "write", "id-token": "write"}
        assert issue["permissions"] == {"issues": "write"}
        assert issue["needs"] == key
        assert issue["if"] == f"${{{{ needs.{key}.outputs.result != 'equal' }}}}"
        checkout, step = rebuild["steps"]
        assert checkout["uses"] == found.checkout
        assert checkout["with"] == {"fetch-depth": "0", "persist-credentials": "false"}
        (tell,) = issue["steps"]
        for used, folder in ((step, "rebuild"), (tell, "rebuild/issue")):
            assert used["uses"] == f"{name}/{folder}@{commit}"
            known = yaml.safe_load((ROOT / folder / "action.yml").read_text(encoding="utf-8"))
            assert set(used["with"]) <= set(known["inputs"])
        assert step["with"].get("image") == (images[index // 2].name if images else None)
        assert step["with"]["policy"] == "enclave-policy.toml"
        outputs = yaml.safe_load((ROOT / "rebuild" / "action.yml").read_text(encoding="utf-8"))["outputs"]
        for output, value in rebuild["outputs"].items():
            assert output in outputs
            assert value == f"${{{{ steps.{step['id']}.outputs.{output} }}}}"
        assert set(tell["with"].values()) == {
            f"${{{{ needs.{key}.outputs.{output} }}}}" for output in rebuild["outputs"]
        }


def test_not_everybodys_run_starts_at_once() -> None:
    minutes = {
        rebuild_workflow_text(replace(project(), repository=f"acme/r{number}")).partition('cron: "')[2][:2]
        for number in range(30)
    }
    assert len(minutes) > 10


def test_the_actions_hand_every_input_on_and_only_by_the_environment() -> None:
    for folder, elsewhere in (("rebuild", {"github-token"}), ("rebuild/issue", {"github-token"})):
        action = yaml.safe_load((ROOT / folder / "action.yml").read_text(encoding="utf-8"))
        *_, step = action["runs"]["steps"]
        for name in set(action["inputs"]) - elsewhere:
            assert step["env"][f"INPUT_{name.replace('-', '_').upper()}"] == f"${{{{ inputs.{name} }}}}"
        assert set(step["env"].values()) == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}
