"""Inputs of the action: what is asked for, and every wrong request by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from glassclave.errors import UsageError
from glassclave.flows.action import ActionRequest, parse_request

PUSH = {
    "enable-ghcr-push": "true",
    "eif-file-name": "e.eif",
    "eif-info-file-name": "e.json",
    "artifact-tag": "1.0",
    "github-token": "given",
}


def parse(workspace: Path = Path("/w"), **environment: str) -> ActionRequest:
    base = {"GITHUB_WORKSPACE": str(workspace), "GITHUB_REPOSITORY": "Acme/Hello"}
    return parse_request(base | environment)


def with_inputs(**inputs: str) -> ActionRequest:
    named = {f"INPUT_{name.replace('-', '_').upper()}": value for name, value in inputs.items()}
    return parse(Path("/w"), **named)


def test_defaults() -> None:
    request = parse()
    assert (request.context, request.dockerfile) == (Path("/w"), Path("/w/Dockerfile"))
    assert (request.eif, request.info) == (Path("/w/enclave.eif"), Path("/w/enclave.info.json"))
    assert (request.reference, request.sign, request.annotate, request.twice) == (None, False, False, False)
    assert (request.architecture, request.builder, request.bootstrap, request.expected) == (
        "amd64",
        None,
        None,
        {},
    )


def test_a_whole_request() -> None:
    request = with_inputs(
        **PUSH,
        **{
            "docker-build-context-path": "app/",
            "enable-artifact-sign": "true",
            "save-pcrs-in-annotation": "true",
            "expected-pcrs": f"PCR0={'0a' * 48}\n  PCR8: {'0B' * 48}\n",
            "trust-config": "trust.json",
        },
    )
    assert request.context == Path("/w/app")
    assert str(request.reference) == "ghcr.io/acme/hello:1.0"
    assert (request.sign, request.annotate) == (True, True)
    assert request.expected == {0: b"\x0a" * 48, 8: b"\x0b" * 48}
    assert request.trust_config == Path("/w/trust.json")


def test_another_registry_and_runner() -> None:
    request = with_inputs(**PUSH, registry="127.0.0.1:5000/o/r")
    assert str(request.reference) == "127.0.0.1:5000/o/r:1.0"
    assert parse(RUNNER_ARCH="ARM64").architecture == "arm64"


def test_the_dockerfile_is_found_in_either_place(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "D").touch()
    names = {"INPUT_DOCKER_BUILD_CONTEXT_PATH": "app", "INPUT_DOCKERFILE_PATH": "D"}
    assert parse(tmp_path, **names).dockerfile == tmp_path / "D"
    (tmp_path / "app" / "D").touch()
    assert parse(tmp_path, **names).dockerfile == tmp_path / "app" / "D"


@pytest.mark.parametrize(
    ("inputs", "field", "code"),
    [
        ({"enable-ghcr-push": "yes"}, "enable-ghcr-push", "action.input"),
        ({"enable-ghcr-push": "True"}, "enable-ghcr-push", "action.input"),
        ({"enable-artifact-sign": "true"}, "enable-artifact-sign", "action.input"),
        ({"save-pcrs-in-annotation": "true"}, "save-pcrs-in-annotation", "action.input"),
        ({**PUSH, "eif-file-name": ""}, "eif-file-name", "action.input"),
        ({**PUSH, "eif-info-file-name": ""}, "eif-info-file-name", "action.input"),
        ({**PUSH, "artifact-tag": ""}, "artifact-tag", "action.input"),
        ({**PUSH, "github-token": ""}, "github-token", "action.input"),
        ({**PUSH, "artifact-tag": "a b"}, "artifact-tag", "action.input"),
        ({**PUSH, "registry": "no registry"}, "registry", "action.input"),
        ({"eif-file-name": "../evil"}, "eif-file-name", "action.input"),
        ({"eif-file-name": "-o"}, "eif-file-name", "action.input"),
        ({"eif-info-file-name": "a\nb"}, "eif-info-file-name", "action.input"),
        ({"architecture": "riscv"}, "architecture", "action.input"),
        ({"builder": "kaniko"}, "builder", "action.input"),
        ({"twice": "1"}, "twice", "action.input"),
        ({"expected-pcrs": "PCR0=00"}, "expected-pcrs", "action.input"),
        ({"expected-pcrs": "PCR3=" + "00" * 48}, "expected-pcrs", "action.input"),
        ({"enable-github-attest": "true"}, "enable-github-attest", "action.gone"),
    ],
)
def test_each_wrong_request_is_named(inputs: dict[str, str], field: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_inputs(**inputs)
    assert (caught.value.field, caught.value.code) == (field, code)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["enclave.eif", "enclave.measurements.json"])
def test_two_files_of_a_build_have_two_names(name: str) -> None:
    with pytest.raises(UsageError, match="another file of the build") as wrong:
        with_inputs(**{"eif-info-file-name": name})
    assert wrong.value.field == "eif-info-file-name"
