import base64
import json
import os
import sys
from pathlib import Path

import pytest

from glassclave.clients.credentials import Credential, DockerConfig, SubprocessHelpers
from glassclave.errors import GlassclaveError

ALICE = Credential("alice", "s3cret")
AUTH = base64.b64encode(b"alice:s3cret").decode()

HELPER = """#!{python}
import json, sys
server = sys.stdin.read()
known = {known!r}
if server == "broken":
    print("helper is broken, s3cret")
    sys.exit(1)
if server not in known:
    print("credentials not found in native keychain")
    sys.exit(1)
print(json.dumps({{"ServerURL": server, "Username": known[server][0], "Secret": known[server][1]}}))
"""


def configured(folder: Path, **config: object) -> DockerConfig:
    """docker's configuration in ``folder``, with the helpers of ``folder``/bin."""
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return DockerConfig({"DOCKER_CONFIG": str(folder), "PATH": str(folder / "bin")})


def install_helper(folder: Path, name: str, known: dict[str, tuple[str, str]]) -> None:
    program = folder / "bin" / f"docker-credential-{name}"
    program.parent.mkdir(exist_ok=True)
    program.write_text(HELPER.format(python=sys.executable, known=known), encoding="utf-8")
    program.chmod(0o755)


@pytest.mark.parametrize(
    "entry",
    [{"auth": AUTH}, {"username": "alice", "password": "s3cret"}],
)
def test_a_stored_login_is_found(tmp_path: Path, entry: dict[str, str]) -> None:
    assert configured(tmp_path, auths={"ghcr.io": entry}).find("ghcr.io") == ALICE


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
    ],
)
def test_the_spellings_of_a_registry_are_known(tmp_path: Path, key: str, registry: str) -> None:
    assert configured(tmp_path, auths={key: {"auth": AUTH}}).find(registry) == ALICE


@pytest.mark.parametrize(
    "registry",
    ["ghcr.io.evil.example", "xghcr.io", "ghcr.io:443", "docker.io", "127.0.0.1:5000"],
)
def test_a_login_goes_to_no_other_registry(tmp_path: Path, registry: str) -> None:
    assert configured(tmp_path, auths={"ghcr.io": {"auth": AUTH}}).find(registry) is None


def test_tokens_are_read(tmp_path: Path) -> None:
    config = configured(
        tmp_path, auths={"a.example": {"identitytoken": "I"}, "b.example": {"registrytoken": "R"}}
    )
    assert config.find("a.example") == Credential(identity_token="I")
    assert config.find("b.example") == Credential(registry_token="R")


def test_no_file_and_no_home_are_no_login(tmp_path: Path) -> None:
    assert DockerConfig({"HOME": str(tmp_path)}).find("ghcr.io") is None
    assert DockerConfig({}).find("ghcr.io") is None
    assert configured(tmp_path, auths={"ghcr.io": {}}).find("ghcr.io") is None
    assert configured(tmp_path).find("ghcr.io") is None


def test_home_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {"a.io": {"auth": AUTH}}}))
    assert DockerConfig({"HOME": str(tmp_path)}).find("a.io") == ALICE


def test_a_helper_for_the_registry_comes_first_then_the_store_then_the_file(tmp_path: Path) -> None:
    install_helper(tmp_path, "one", {"a.io": ("from-one", "x")})
    install_helper(tmp_path, "two", {"a.io": ("from-two", "x"), "b.io": ("<token>", "identity")})
    config = configured(
        tmp_path,
        credHelpers={"a.io": "one"},
        credsStore="two",
        auths={"a.io": {"auth": AUTH}, "b.io": {"auth": AUTH}, "c.io": {"auth": AUTH}},
    )
    assert config.find("a.io") == Credential("from-one", "x")
    assert config.find("b.io") == Credential(identity_token="identity")
    assert config.find("c.io") == ALICE
    assert config.find("d.io") is None


def test_a_helper_without_a_name_means_the_file_itself(tmp_path: Path) -> None:
    install_helper(tmp_path, "two", {"a.io": ("from-two", "x")})
    config = configured(tmp_path, credHelpers={"a.io": ""}, credsStore="two", auths={"a.io": {"auth": AUTH}})
    assert config.find("a.io") == ALICE


def test_docker_hub_is_asked_for_by_its_old_name(tmp_path: Path) -> None:
    install_helper(tmp_path, "store", {"https://index.docker.io/v1/": ("hub", "x")})
    assert configured(tmp_path, credsStore="store").find("docker.io") == Credential("hub", "x")


def test_a_helper_that_fails_is_an_error_that_does_not_repeat_it(tmp_path: Path) -> None:
    install_helper(tmp_path, "one", {})
    with pytest.raises(GlassclaveError) as caught:
        SubprocessHelpers({"PATH": os.fspath(tmp_path / "bin")}).get("one", "broken")
    assert caught.value.code == "credentials.helper"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"credHelpers": {"a.io": "missing"}}, "credentials.helper"),
        ({"credHelpers": {"a.io": "../one"}}, "credentials.helper-name"),
        ({"credsStore": "a/b"}, "credentials.helper-name"),
        ({"auths": {"a.io": {"auth": "s3cret!"}}}, "credentials.auth"),
        ({"auths": {"a.io": {"auth": "s3crét"}}}, "credentials.auth"),
        ({"auths": {"a.io": {"auth": base64.b64encode(b"s3cret").decode()}}}, "credentials.auth"),
        ({"auths": {"a.io": {"auth": 7}}}, "field.type"),
        ({"auths": []}, "field.type"),
    ],
)
def test_a_broken_configuration_is_named_without_secrets(
    tmp_path: Path, config: dict[str, object], code: str
) -> None:
    with pytest.raises(GlassclaveError) as caught:
        configured(tmp_path, **config).find("a.io")
    assert caught.value.code == code
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_a_credential_does_not_show_its_secrets() -> None:
    shown = repr(Credential("alice", "s3cret", "s3cret", "s3cret"))
    assert "s3cret" not in shown
    assert "alice" in shown
