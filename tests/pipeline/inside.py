"""From a push to a published, signed image, and then the consumer: in a network where ghcr.io is here.

    unshare --net --mount python -m tests.pipeline.inside FOLDER

FOLDER holds ``workspace`` (a repository with a workflow), ``wheels`` (what requirements/action.txt names)
and ``scenario.json``. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import yaml

from glassclave_sandbox.services import Services
from tests.interop.network import raise_loopback
from tests.pipeline.ghcr import HOST, Front
from tests.pipeline.runner import Job, StepFailedError, checkout
from tests.unit.clients.tls import certificate

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "Acme/Hello"
STAND_INS = {
    "actions/checkout": "the repository is there already",
    "the package index": "a folder with the files that requirements/action.txt names by hash",
    "ghcr.io": "TLS and tokens as there, before the sandbox's registry without referrers API",
    "Sigstore": "the sandbox's, named by the input trust-config",
    "GitHub's token service": "the sandbox's",
}


def name_the_registry(folder: Path) -> None:
    """ghcr.io is this machine, for this process and what it starts alone."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n", encoding="ascii")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    raise_loopback()


def job_for(folder: Path, services: Services, scenario: dict[str, Any], trusted: Path, token: str) -> Job:
    temporary = folder / "runner-temp"
    temporary.mkdir()
    claims = {"repository": REPOSITORY, "sha": "5" * 40, **scenario.get("claims", {})}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        "TMPDIR": str(temporary),
        "RUNNER_TEMP": str(temporary),
        "RUNNER_OS": "Linux",
        "RUNNER_ARCH": "X64",
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(folder / "workspace"),
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_RUN_ID": claims.get("run_id", "777"),
        "GITHUB_RUN_ATTEMPT": claims.get("run_attempt", "1"),
        "GITHUB_SHA": claims["sha"],
        "GITHUB_JOB": "build",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "SSL_CERT_FILE": str(trusted),
        "DOCKER_HOST": "unix:///nonexistent.sock",
        **services.environment(**claims),
        **scenario.get("environment", {}),
    }
    github = {
        "repository": REPOSITORY,
        "actor": "octocat",
        "token": token,
        "ref": claims.get("ref", "refs/heads/main"),
        "ref_name": claims.get("ref", "refs/heads/main").split("/", 2)[2],
        "sha": claims["sha"],
        "event_name": claims.get("event_name", "push"),
        "run_id": "777",
        "run_attempt": "1",
    }
    return Job(
        workspace=folder / "workspace",
        temporary=temporary,
        github=github,
        environment=environment,
        actions={scenario["uses"]: ROOT},
        stand_ins={"actions/checkout": checkout},
        secrets={"GITHUB_TOKEN": token},
        with_more={scenario["uses"]: {"trust-config": str(services.trust_config)} | scenario.get("with", {})},
    )


def consumer(folder: Path, services: Services, trusted: Path, reference: str) -> dict[str, Any]:
    """What somebody sees who has the reference and the repository's name."""
    pulled = folder / "pulled"
    pulled.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "SSL_CERT_FILE": str(trusted)}
    signed = services.environment()
    sigstore = {name: value for name, value in signed.items() if name.startswith("SIGSTORE_")}
    verify = [
        sys.executable, "-m", "glassclave", "verify", reference, "--repo", REPOSITORY,
        "--trust-config", str(services.trust_config), "--json",
    ]  # fmt: skip
    cosign = [
        "cosign", "verify", "--offline", reference, "--certificate-identity-regexp",
        f"https://github.com/{REPOSITORY}/", "--certificate-oidc-issuer",
        "https://token.actions.githubusercontent.com",
    ]  # fmt: skip
    log = [
        sys.executable, "-m", "glassclave", "log", "show", reference, "--repo", REPOSITORY,
        "--trust-config", str(services.trust_config),
    ]  # fmt: skip
    policy = folder / "workspace" / "enclave-policy.toml"
    by_policy = [*verify[:5], "--policy", str(policy), *verify[7:]] if policy.exists() else ["true"]
    found: dict[str, Any] = {"reference": reference}
    for name, command, extra in (
        ("verify", verify, {}),
        ("log", log, {}),
        ("policy", by_policy, {}),
        ("cosign", cosign, sigstore),
        ("oras", ["oras", "pull", reference], {}),
    ):
        done = subprocess.run(
            command, cwd=pulled, env=environment | extra, capture_output=True, text=True, check=False
        )
        found[name] = {"status": done.returncode, "out": done.stdout, "err": done.stderr}
    found["pulled"] = sorted(os.listdir(pulled))
    return found


def main(folder: Path) -> dict[str, Any]:
    scenario = json.loads((folder / "scenario.json").read_text(encoding="utf-8"))
    name_the_registry(folder)
    (folder / "tls").mkdir()
    trusted, _ = certificate(folder / "tls", names=(HOST, "localhost"))
    token = secrets.token_hex(20)
    with Services(folder / "sandbox", referrers_api=False) as services:
        front = Front(trusted, services.registry, token)
        job = job_for(folder, services, scenario, trusted, token)
        workflow = yaml.safe_load((folder / "workspace" / scenario["workflow"]).read_text(encoding="utf-8"))
        (steps,) = (job_["steps"] for job_ in workflow["jobs"].values())
        result: dict[str, Any] = {"failed": None, "outputs": {}}
        try:
            outputs = job.run_steps(steps, {}, None)
            result["outputs"] = next(iter(reversed(outputs.values())))["outputs"]
        except StepFailedError as error:
            result["failed"] = str(error)
        result |= {"log": job.log, "summary": job.summary, "stand_ins": STAND_INS}
        result["leaked"] = token in "\n".join(job.log) + job.summary
        path = result["outputs"].get("ghcr-artifact-path")
        if path:
            result["consumer"] = consumer(folder, services, trusted, path)
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
