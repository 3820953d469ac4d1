"""``glassclave rebuild`` as far as no builder is needed; ``tests/interop/test_rebuild.py`` runs all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from glassclave.cli import main
from glassclave.cli.rebuild import _bootstrap_of, _chooser
from glassclave.errors import UnavailableError
from glassclave_sandbox.services import Services


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with Services(tmp_path / "state") as running:
        yield running


def test_what_is_not_there_cannot_be_judged(
    services: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["rebuild", f"{services.registry}/acme/enclave:1", "--repo", "acme/enclave"]
    report = tmp_path / "report.md"
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--trust-config", str(services.trust_config), "--report", str(report)])
    assert stopped.value.code == 3
    assert "registry.not-found" in capsys.readouterr().err
    assert not report.exists()


def test_without_an_identity_nothing_is_fetched(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    words = ["rebuild", f"{services.registry}/acme/enclave:1", "--repo", "acme/enclave", "--sign"]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--trust-config", str(services.trust_config)])
    assert stopped.value.code == 2
    assert "sign.identity.none" in capsys.readouterr().err
    assert services.requests() == []


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    (folder / name).chmod(0o755)


def test_the_builder_is_the_one_of_the_first_build_where_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "docker", "echo 27.1")
    program(tmp_path, "buildah", "echo buildah version 1.28.2")
    assert _chooser(None)("buildah").identity.name == "buildah"
    assert _chooser(None)("docker").identity.name == "docker"
    assert _chooser("docker")("buildah").identity.name == "docker"
    for unknown in ("kaniko", "--help", ""):
        assert _chooser(None)(unknown).identity.name == "docker"
    (tmp_path / "buildah").unlink()
    assert _chooser(None)("buildah").identity.name == "docker"
    with pytest.raises(UnavailableError):
        _chooser("buildah")("docker")


def test_kernel_and_init_are_ours_or_those_of_a_folder(tmp_path: Path) -> None:
    assert _bootstrap_of(None)("x86_64").architecture == "x86_64"
    with pytest.raises(UnavailableError) as caught:
        _bootstrap_of(tmp_path / "gone")("x86_64")
    assert caught.value.code == "bootstrap.directory.missing"
