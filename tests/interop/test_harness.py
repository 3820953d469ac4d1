"""The runner that our workflows are tried on does what GitHub documents, and refuses the rest."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from glassclave_sandbox.services import Services
from tests.pipeline.github_api import GithubApi
from tests.pipeline.repositories import snapshot
from tests.pipeline.stand_ins import Actions, Store
from tests.pipeline.workflow import Outcome, Run, StartupError

REPOSITORY = "acme/hello"
MAIN = ".github/workflows/main.yml"
CALLED = ".github/workflows/called.yml"
Go = Callable[..., dict[str, Outcome]]


def steps(*scripts: str, **keys: Any) -> dict[str, Any]:
    return {"runs-on": "x", "permissions": {}, "steps": [{"run": script} for script in scripts]} | keys


def workflow(**jobs: Any) -> str:
    return yaml.safe_dump({"on": "push", "jobs": jobs}, sort_keys=False)


@pytest.fixture
def go(tmp_path: Path) -> Iterator[Go]:
    """Commit these files and run the first workflow."""
    (tmp_path / "home").mkdir()
    with (
        Services(tmp_path / "sandbox", registry=False) as services,
        GithubApi(REPOSITORY, "") as api,
    ):

        def run(main: str, called: str = "", **more: Any) -> dict[str, Outcome]:
            folder = tmp_path / "workspace"
            for path, text in ((MAIN, main), (CALLED, called)):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text, encoding="utf-8")
            own = tmp_path / "pushed.git"
            api.sha = snapshot(folder, own)
            github = {
                "repository": REPOSITORY, "ref": "refs/heads/main", "ref_name": "main", "sha": api.sha,
                "event_name": "push", "run_id": "777", "run_attempt": "1", "api_url": api.url,
            }  # fmt: skip
            started = Run(
                folder=tmp_path,
                github=github,
                environment={"PATH": "/usr/bin:/bin"},
                repositories={REPOSITORY: own},
                services=services,
                api=api,
                stand_ins=Actions({REPOSITORY: own}, Store()).all(),
                **more,
            )
            return started.start(MAIN)

        yield run


def results(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    return {name: outcome.result for name, outcome in outcomes.items()}


def test_jobs_wait_for_each_other_and_hand_on_outputs(go: Go) -> None:
    first = steps()
    first["steps"] = [
        {"id": "say", "run": 'printf "word=a b\\nmore<<END\\nx\\ny\\nEND\\n" >> "$GITHUB_OUTPUT"'}
    ]
    first["outputs"] = {name: f"${{{{ steps.say.outputs.{name} }}}}" for name in ("word", "more")}
    second = steps('test "$WORD" = "a b" && test "$MORE" = "x\ny"', needs="first")
    second["env"] = {name.upper(): f"${{{{ needs.first.outputs.{name} }}}}" for name in ("word", "more")}
    outcomes = go(workflow(second=second, first=first))
    assert list(outcomes) == ["first", "second"]
    assert results(outcomes) == {"first": "success", "second": "success"}


def test_after_a_failure_only_what_asks_for_it_runs(go: Go) -> None:
    failing = steps("false", "echo not-this")
    failing["steps"] += [
        {"if": "always()", "run": "echo this"},
        {"if": "${{ failure() }}", "run": "echo that"},
    ]
    outcomes = go(
        workflow(
            failing=failing,
            next=steps("true", needs="failing"),
            later=steps("true", needs=["next"]),
            cleaning=steps("true", needs="failing", **{"if": "always()"}),
        )
    )
    assert results(outcomes) == {
        "failing": "failure", "next": "skipped", "later": "skipped", "cleaning": "success",
    }  # fmt: skip
    assert outcomes["failing"].job is not None
    log = outcomes["failing"].job.log
    assert "this" in log
    assert "that" in log
    assert "not-this" not in log


def test_what_steps_leave_for_later_ones(go: Go) -> None:
    scripts = (
        'echo "A=1" >> "$GITHUB_ENV"; echo "$PWD" >> "$GITHUB_PATH"; echo "# Hi" >> "$GITHUB_STEP_SUMMARY"',
        'test "$A" = 1; case "$PATH" in "$PWD":*) ;; *) exit 1;; esac',
    )
    outcomes = go(workflow(one=steps(*scripts), two=steps('test -z "${A:-}"; test -z "$(ls)"', needs="one")))
    assert results(outcomes) == {"one": "success", "two": "success"}
    assert outcomes["one"].job is not None
    assert outcomes["one"].job.summary == "# Hi\n"


TOKEN = (
    'curl -sf -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN"'
    ' "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=x" > "$OUT"'
)


def claims(path: Path) -> dict[str, Any]:
    part = json.loads(path.read_text())["value"].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_only_a_job_with_the_permission_has_an_identity(go: Go, tmp_path: Path) -> None:
    without = 'test -z "${ACTIONS_ID_TOKEN_REQUEST_URL:-}${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}"'
    own = steps(TOKEN, permissions={"id-token": "write"}, env={"OUT": str(tmp_path / "own")})
    call = {"uses": f"./{CALLED}", "permissions": {"id-token": "write"}}
    inner = {"on": {"workflow_call": None}, "jobs": {"x": own | {"env": {"OUT": str(tmp_path / "called")}}}}
    outcomes = go(workflow(none=steps(without), own=own, call=call), yaml.safe_dump(inner))
    assert set(results(outcomes).values()) == {"success"}, [outcome.failed for outcome in outcomes.values()]
    found = claims(tmp_path / "own")
    assert found["aud"] == "x"
    assert found["job_workflow_ref"] == found["workflow_ref"] == f"{REPOSITORY}/{MAIN}@refs/heads/main"
    called = claims(tmp_path / "called")
    assert called["job_workflow_ref"] == f"{REPOSITORY}/{CALLED}@refs/heads/main"
    assert called["workflow_ref"] == found["workflow_ref"]


def test_a_token_is_good_for_what_permissions_say(go: Go, tmp_path: Path) -> None:
    script = (
        'curl -so "$OUT" -w "%{http_code}" -H "Authorization: Bearer $T"'
        ' "$GITHUB_API_URL/repos/acme/hello/actions/runs/777/attempts/1/jobs" > "$OUT.status"'
    )
    jobs = {}
    for name, permissions in (("may", {"actions": "read"}), ("not", {"contents": "read"})):
        jobs[name] = steps(script, permissions=permissions, env={
            "T": "${{ github.token }}", "OUT": str(tmp_path / name),
        })  # fmt: skip
    go(workflow(**jobs))
    assert (tmp_path / "may.status").read_text() == "200"
    assert (tmp_path / "not.status").read_text() == "403"


def called_workflow(**inputs: Any) -> str:
    show = steps('echo "$A|$B"', env={"A": "${{ inputs.a }}", "B": "${{ inputs.b && 'yes' || 'no' }}"})
    outputs = {"c": {"value": "${{ jobs.make.outputs.c }}"}}
    make = steps('echo "c=3" >> "$GITHUB_OUTPUT"', outputs={"c": "${{ steps.s.outputs.c }}"})
    make["steps"][0]["id"] = "s"
    return yaml.safe_dump(
        {
            "on": {"workflow_call": {"inputs": inputs, "outputs": outputs}},
            "jobs": {"show": show, "make": make},
        }
    )


A = {"a": {"type": "string", "required": True}, "b": {"type": "boolean", "default": False}}


def test_a_called_workflow_has_inputs_and_outputs(go: Go) -> None:
    call = {"uses": f"./{CALLED}", "permissions": {}, "with": {"a": "${{ github.ref_name }}", "b": True}}
    then = steps('test "$C" = 3', needs="call", env={"C": "${{ needs.call.outputs.c }}"})
    outcomes = go(workflow(call=call, then=then), called_workflow(**A))
    assert results(outcomes) == {"call": "success", "then": "success"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "the input a is required"),
        ({"a": "1", "z": "1"}, "has no inputs"),
        ({"a": "1", "b": "perhaps"}, "the input b is no boolean"),
    ],
)
def test_wrong_inputs_of_a_call(go: Go, given: dict[str, str], reason: str) -> None:
    with pytest.raises(StartupError, match=reason):
        go(workflow(call={"uses": f"./{CALLED}", "permissions": {}, "with": given}), called_workflow(**A))


def test_a_called_job_has_no_more_rights_than_its_caller(go: Go) -> None:
    inner = {"on": {"workflow_call": None}, "jobs": {"x": steps("true", permissions={"packages": "write"})}}
    call = {"uses": f"./{CALLED}", "permissions": {"packages": "read"}}
    with pytest.raises(StartupError, match="is only allowed 'packages: read'"):
        go(workflow(call=call), yaml.safe_dump(inner))


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (steps("echo ${{ github.ref }}"), "an expression in a script"),
        (steps("true", services={}), "keys of a job"),
        (steps() | {"steps": [{"run": "true", "retry": 3}]}, "keys of a step"),
        (steps() | {"steps": [{"uses": "some/action@v1"}]}, "has no stand-in"),
        (steps() | {"steps": [{"uses": "actions/checkout@v1", "with": {"lfs": "true"}}]}, "unknown inputs"),
        (steps("true", **{"if": "hashFiles('x')"}), "left over"),
    ],
)
def test_what_is_not_known_is_an_error_of_the_test(go: Go, job: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        go(workflow(job=job))


def test_a_job_says_its_permissions(go: Go) -> None:
    job = steps("true")
    del job["permissions"]
    with pytest.raises(StartupError, match="without permissions"):
        go(workflow(job=job))


def test_a_checkout_leaves_the_token_unless_told_not_to(go: Go) -> None:
    look = 'test "$(git config http.extraheader)" = "$T"'
    jobs = {}
    for name, given, script in (("kept", {}, look), ("not", {"persist-credentials": False}, f"! {look}")):
        checkout = {"uses": "actions/checkout@v1", "with": given}
        jobs[name] = steps(permissions={"contents": "read"}) | {
            "steps": [checkout, {"run": script, "env": {"T": "${{ github.token }}"}}]
        }
    assert results(go(workflow(**jobs))) == {"kept": "success", "not": "success"}


def test_a_checkout_needs_the_right_to_read(go: Go) -> None:
    job = steps() | {"steps": [{"uses": "actions/checkout@v1"}]}
    outcome = go(workflow(job=job))["job"]
    assert outcome.failed is not None
    assert "may not read" in outcome.failed


def test_artifacts_cross_by_their_id(go: Go) -> None:
    upload = {"id": "up", "uses": "actions/upload-artifact@v1", "with": {"name": "a", "path": "out"}}
    make = steps("mkdir -p out/d; echo 1 > out/d/f; echo 2 > out/.hidden") | {
        "outputs": {"id": "${{ steps.up.outputs.artifact-id }}"}
    }
    make["steps"].append(upload)
    download = {
        "uses": "actions/download-artifact@v1",
        "with": {"artifact-ids": "${{ needs.make.outputs.id }}", "path": "in"},
    }
    take = steps(needs="make") | {"steps": [download, {"run": 'test "$(cd in && find . -type f)" = ./d/f'}]}
    assert results(go(workflow(make=make, take=take))) == {"make": "success", "take": "success"}
