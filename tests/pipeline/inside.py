"""From a push to a published, signed image, and then the consumer: in a network where ghcr.io is here.

    unshare --net --mount python -m tests.pipeline.inside FOLDER

FOLDER holds ``workspace`` (a repository with a workflow), ``wheels`` (what requirements/action.txt names)
and ``scenario.json`` (`Scenario`). Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glassclave_sandbox.services import Services
from tests.interop.network import raise_loopback
from tests.pipeline.caller import INSTALLED
from tests.pipeline.ghcr import HOST, Front
from tests.pipeline.github_api import GithubApi
from tests.pipeline.repositories import ROOT, snapshot
from tests.pipeline.stand_ins import TAMPERS, Actions, Store
from tests.pipeline.swap import swap_log
from tests.pipeline.workflow import IDENTITY, Outcome, Run, StartupError
from tests.unit.clients.tls import certificate

REPOSITORY = "Acme/Hello"
STAND_INS = {
    "actions/checkout": "the files of the commit, from a git repository on this machine",
    "actions/upload-artifact": "the files of one folder, as an archive in memory",
    "actions/download-artifact": "that archive, unpacked",
    "pypa/gh-action-pypi-publish": "takes wheels from a job with identity and environment",
    "the package index": "a folder with the files that hashed requirements name",
    "what is installed": "where a test does not say otherwise, runners have it already; pip looks and agrees",
    "ghcr.io": "TLS and tokens as there, before the sandbox's registry without referrers API",
    "Sigstore": "the sandbox's, named by the input trust-config",
    "GitHub's token service": "the sandbox's",
    "GitHub's API": "jobs and logs of this run, on loopback",
}


@dataclass(frozen=True)
class Scenario:
    """What a test asks for. ``workflow``: its path in the workspace.

    ``uses``: what `uses:` names our action (then it is this checkout) or our called workflow. ``given``:
    inputs beyond what the workflow sets. ``repositories``: OWNER/NAME to git repositories beside the
    workspace's. ``jobs_left_out``: what is not run here, by name. ``tamper``: what happens to
    an artifact between two jobs, and to which file. ``judges``: further commands of a consumer, by name;
    REFERENCE and TRUST stand for the reference and the trust file.
    ``images``: what the registry has before, as NAME:TAG to a layout with that image as ``base``.
    ``swap_log``: whether the publisher puts another log in the place of the signed one afterwards.
    """

    workflow: str
    uses: str = ""
    ref: str = "refs/heads/main"
    given: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, str] = field(default_factory=dict)
    tamper: tuple[str, str] | None = None
    judges: dict[str, list[str]] = field(default_factory=dict)
    jobs_left_out: tuple[str, ...] = ()
    images: dict[str, str] = field(default_factory=dict)
    swap_log: bool = False

    @property
    def calls_a_workflow(self) -> bool:
        return self.uses.partition("@")[0].endswith(".yml")


def name_the_registry(folder: Path) -> None:
    """ghcr.io is this machine, for this process and what it starts alone."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n", encoding="ascii")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    raise_loopback()


def actions_for(folder: Path, scenario: Scenario) -> Actions:
    """GitHub's own actions, with what they find and leave."""
    repositories = {name: Path(path) for name, path in scenario.repositories.items()}
    tamper = None if scenario.tamper is None else TAMPERS[scenario.tamper[0]](scenario.tamper[1])
    return Actions(repositories | {REPOSITORY: folder / "pushed.git"}, Store(tamper))


def run_for(
    folder: Path, scenario: Scenario, services: Services, api: GithubApi, trusted: Path, actions: Actions
) -> Run:
    """The run that a push to the workspace's repository starts."""
    text = services.trust_config.read_text(encoding="utf-8")
    trust = (
        {"trust-config-json": text}
        if scenario.calls_a_workflow
        else {"trust-config": str(services.trust_config)}
    )
    return Run(
        folder=folder,
        github={
            "repository": REPOSITORY,
            "repository_owner": REPOSITORY.partition("/")[0],
            "actor": "octocat",
            "ref": scenario.ref,
            "ref_name": scenario.ref.split("/", 2)[2],
            "ref_type": "tag" if scenario.ref.startswith("refs/tags/") else "branch",
            "sha": api.sha,
            "event_name": "push",
            "run_id": str(api.run_id),
            "run_attempt": str(api.run_attempt),
            "server_url": "https://github.com",
            "api_url": api.url,
        },
        environment={
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "PIP_NO_INDEX": "1",
            "PIP_NO_COMPILE": "1",
            "PIP_FIND_LINKS": str(folder / "wheels"),
            "SSL_CERT_FILE": str(trusted),
            "DOCKER_HOST": "unix:///nonexistent.sock",
            **scenario.environment,
        },
        repositories=actions.repositories,
        services=services,
        api=api,
        stand_ins=actions.all(),
        actions={} if scenario.calls_a_workflow else {scenario.uses: ROOT},
        with_more={scenario.uses: trust | scenario.given},
        jobs_left_out=frozenset(scenario.jobs_left_out),
        claims=scenario.claims,
        installed=Path(os.environ[INSTALLED]) if INSTALLED in os.environ else None,
    )


def consumer(
    folder: Path, scenario: Scenario, services: Services, trusted: Path, reference: str
) -> dict[str, Any]:
    """What somebody sees who has the reference and the repository's name."""
    pulled = folder / "pulled"
    pulled.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "SSL_CERT_FILE": str(trusted)}
    signed = services.environment()
    sigstore = {name: value for name, value in signed.items() if name.startswith("SIGSTORE_")}
    glassclave = [sys.executable, "-m", "glassclave"]
    verify = ["verify", "REFERENCE", "--repo", REPOSITORY, "--trust-config", "TRUST", "--json"]
    cosign = [
        "cosign", "verify", "--offline", "REFERENCE", "--certificate-identity-regexp",
        f"https://github.com/{REPOSITORY}/", "--certificate-oidc-issuer",
        "https://token.actions.githubusercontent.com",
    ]  # fmt: skip
    policy = folder / "workspace" / "enclave-policy.toml"
    by_policy = ["glassclave", *verify[:2], "--policy", str(policy), *verify[4:]]
    judges = {
        "verify": ["glassclave", *verify],
        "policy": by_policy if policy.exists() else ["true"],
        "cosign": cosign,
        "log": ["glassclave", "log", "show", *verify[1:-1]],
        "oras": ["oras", "pull", "REFERENCE"],
    } | scenario.judges
    found: dict[str, Any] = {"reference": reference}
    names = {"REFERENCE": reference, "TRUST": str(services.trust_config)}
    for name, (program, *words) in judges.items():
        command = [*(glassclave if program == "glassclave" else [program]), *(names.get(w, w) for w in words)]
        extra = sigstore if program == "cosign" else {}
        done = subprocess.run(
            command, cwd=pulled, env=environment | extra, capture_output=True, text=True, check=False
        )
        found[name] = {"status": done.returncode, "out": done.stdout, "err": done.stderr}
    found["pulled"] = sorted(os.listdir(pulled))
    return found


def told(run: Run, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """What is known of a run when it is over."""
    jobs = [outcome.job for outcome in run.outcomes if outcome.job is not None]
    last = list(outcomes.values())[-1]
    steps = [] if last.job is None else list(last.job.steps.values())
    log = "\n".join(line for job in jobs for line in job.log)
    summary = "".join(job.summary for job in jobs)
    tokens = [job.github["token"] for job in jobs]
    kept = [path for path in (run.folder / "jobs").rglob("config") if path.parent.name == ".git"]
    return {
        "failed": next((outcome.failed for outcome in run.outcomes if outcome.failed), None),
        "outputs": last.outputs or (steps[-1]["outputs"] if steps else {}),
        "jobs": {outcome.name: outcome.result for outcome in run.outcomes},
        "identity": [job.record.name for job in jobs if set(IDENTITY) & set(job.environment)],
        "log": log.splitlines(),
        "summary": summary,
        "leaked": any(token in log + summary for token in tokens),
        "persisted": [str(path) for path in kept if any(token in path.read_text() for token in tokens)],
    }


def main(folder: Path) -> dict[str, Any]:
    scenario = Scenario(**json.loads((folder / "scenario.json").read_text(encoding="utf-8")))
    name_the_registry(folder)
    (folder / "tls").mkdir()
    trusted, _ = certificate(folder / "tls", names=(HOST, "localhost"))
    result: dict[str, Any] = {"stand_ins": STAND_INS, "left_out": scenario.jobs_left_out}
    with Services(folder / "sandbox", referrers_api=False) as services, GithubApi(REPOSITORY, "") as api:
        front = Front(
            trusted, services.registry, lambda token: api.permissions(token).get("packages") == "write"
        )
        for name, layout in scenario.images.items():
            copied = ["oras", "cp", "--from-oci-layout", f"{layout}:base", "--to-plain-http"]
            home = os.environ | {"HOME": str(folder / "home")}
            subprocess.run(
                [*copied, f"{services.registry}/{name}"], env=home, check=True, capture_output=True
            )
        api.sha = snapshot(folder / "workspace", folder / "pushed.git")
        actions = actions_for(folder, scenario)
        run = run_for(folder, scenario, services, api, trusted, actions)
        try:
            result |= told(run, run.start(scenario.workflow))
        except StartupError as error:
            result |= {"failed": str(error), "outputs": {}, "jobs": {}, "leaked": False}
        result["published"] = actions.published
        path = next((o.outputs["path"] for o in run.outcomes if o.outputs.get("path")), None)
        path = path or result["outputs"].get("ghcr-artifact-path")
        if path and scenario.swap_log:
            swap_log(path.replace(HOST, services.registry, 1))
        if path:
            result["consumer"] = consumer(folder, scenario, services, trusted, path)
        result["writes"] = [
            path for method, path, status in services.requests() if method == "PUT" and status == 201
        ]
        front.close()
    return result


if __name__ == "__main__":
    try:
        said: dict[str, Any] = main(Path(sys.argv[1]))
    except Exception:  # noqa: BLE001 - told to the test, which fails with it
        said = {"crashed": traceback.format_exc()}
    print(json.dumps(said))
