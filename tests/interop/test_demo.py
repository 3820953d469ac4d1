"""`glassclave demo` as a newcomer runs it, and that it fails where a promise is not kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from glassclave_sandbox.demo.attacks import ATTACKS, Attack, Target, try_attack
from glassclave_sandbox.demo.stage import TRUST, DemoFailedError, Stage
from glassclave_sandbox.services import Services
from tests.boot.enclave import qemu

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-m", "glassclave", "demo"]
SCENES = 8


def run(*command: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TMPDIR": str(folder), "COLUMNS": "80"} | settings
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def checked(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON of a demo that went well: valid by its schema, every attack refused for its own reason."""
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    schema = json.loads((ROOT / "docs" / "spec" / "demo.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(said)
    assert len(said["scenes"]) == SCENES
    codes = [attack["code"] for attack in said["scenes"][-1]["attacks"]]
    assert codes == [attack.code for attack in ATTACKS]
    assert len(set(codes)) == len(codes) == said["attacksRefused"] == 7
    return said


def test_without_a_network(tmp_path: Path) -> None:
    """In a network namespace of its own, where there is nothing but loopback; nothing is left behind."""
    in_namespace = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if run(*in_namespace, "true", folder=tmp_path).returncode != 0:
        pytest.skip("no network namespace can be made here (unshare -rn, ip of iproute2)")
    said = checked(run(*in_namespace, *DEMO, "--no-qemu", "--json", folder=tmp_path))
    assert said["booted"] is False
    assert said["seconds"] < 60
    assert list(tmp_path.iterdir()) == []


@pytest.mark.boot
def test_with_a_booted_enclave(tmp_path: Path) -> None:
    said = checked(run(*DEMO, "--json", folder=tmp_path, GLASSCLAVE_QEMU=str(qemu())))
    assert said["booted"] is True


def test_a_qemu_that_cannot_do_it_is_no_obstacle(tmp_path: Path) -> None:
    done = run(*DEMO, "--folder", str(tmp_path / "kept"), folder=tmp_path, GLASSCLAVE_QEMU="/bin/false")
    assert done.returncode == 0, done.stderr
    assert "no enclave can be booted here" in done.stdout
    assert "so a security module in software answers for it" in done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if line[:3].strip().isdigit()][-1].startswith(f"{SCENES}  ")
    assert "LIVE, UNBOUND" in (tmp_path / "kept" / "verdict.html").read_text(encoding="utf-8")
    again = run(*DEMO, "--folder", str(tmp_path / "kept"), "--json", folder=tmp_path)
    assert again.returncode == 3
    assert json.loads(again.stdout)["error"]["code"] == "demo.folder"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*DEMO, "--no-qemu"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            while not process.stdout.readline().startswith("3  "):
                pass
            process.send_signal(number)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_a_locale_without_utf_8(tmp_path: Path) -> None:
    done = run(*DEMO, "--no-qemu", folder=tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_ascii_terminals(tmp_path: Path) -> None:
    done = run(*DEMO, "--no-qemu", folder=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A published image, as it is when the attacks begin."""
    folder = tmp_path_factory.mktemp("stage")
    with resources.as_file(resources.files("glassclave_sandbox.demo").joinpath("hello")) as path:
        shutil.copytree(path, folder / "hello")
    with Services(folder / "sandbox") as services:
        stage = Stage(folder, services, 80)
        stage.run(["glassclave", "build", "oci:hello", "-o", "hello.eif"]).expect(0)
        words = ["glassclave", "publish", "hello.eif", stage.reference, *TRUST.split()]
        stage.run(words, job=stage.job()).expect(0)
        yield Target.of(stage, "00" * 32)


def test_an_attack_that_succeeds_fails_the_demo(target: Target) -> None:
    with pytest.raises(DemoFailedError) as caught:
        try_attack(Attack("nothing is done", "signature.none", lambda _: ()), target)
    assert caught.value.code == "demo.status"
    assert caught.value.exit_status == 1


def test_an_attack_refused_for_another_reason_fails_the_demo(target: Target) -> None:
    edited = next(attack for attack in ATTACKS if attack.code == "signature.subject.mismatch")
    with pytest.raises(DemoFailedError) as caught:
        try_attack(Attack("edited", "signature.none", edited.cheat), target)
    assert caught.value.code == "demo.reason"
    target.restore()
