"""Policies in files: strict, so that a slip of the pen demands more or fails, and never demands less."""

from __future__ import annotations

import pytest

from glassclave.errors import GlassclaveError, LimitError
from glassclave.policy.file import MAX_SIZE, load_policy
from glassclave.policy.model import DEFAULT_SOURCE_REFS, DEFAULT_TRIGGERS, Policy

WHOLE = b"""
repository = "acme/hello"
issuer = "https://token.example"
signer-workflow = "acme/tools/.github/workflows/build.yml"
source-refs = ["refs/tags/v*", "refs/heads/stable"]
source-digest = "0123456789abcdef0123456789abcdef01234567"
triggers = ["push"]
runner-environment = "self-hosted"
visibility = "any"
statement = "optional"
build-log = "required"
"""


def load(text: bytes) -> Policy:
    return load_policy(text, source="policy.toml")


def test_every_key_is_taken() -> None:
    assert load(WHOLE) == Policy(
        repository="acme/hello",
        issuer="https://token.example",
        signer_workflow="acme/tools/.github/workflows/build.yml",
        source_refs=("refs/tags/v*", "refs/heads/stable"),
        source_digest="0123456789abcdef0123456789abcdef01234567",
        triggers=("push",),
        runner_environment="self-hosted",
        visibility=None,
        statement="optional",
        build_log="required",
    )


def test_what_is_left_out_has_the_default_of_the_command_line() -> None:
    policy = load(b'repository = "acme/hello"')
    assert policy == Policy(repository="acme/hello")
    assert (policy.source_refs, policy.triggers) == (DEFAULT_SOURCE_REFS, DEFAULT_TRIGGERS)
    assert (policy.runner_environment, policy.visibility) == ("github-hosted", "public")
    assert policy.statement == "required"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "policy.empty"),
        (b"# nothing\n", "policy.empty"),
        (b'issuer = "https://token.example"', "field.missing"),
        (b'repository = "acme/hello"\nsource-ref = ["refs/heads/main"]', "field.unknown"),
        (b'repository = "acme/hello"\nsource_refs = ["refs/heads/main"]', "field.unknown"),
        (b'[policy]\nrepository = "acme/hello"', "field.unknown"),
        (b'repository = ["acme/hello"]', "field.type"),
        (b'repository = "acme/hello"\nsource-refs = "refs/heads/main"', "field.type"),
        (b'repository = "acme/hello"\nsource-refs = [1]', "field.type"),
        (b'repository = "acme/hello"\nsource-refs = []', "policy.empty"),
        (b'repository = "acme/hello"\nsource-refs = [""]', "policy.empty"),
        (b'repository = "acme/hello"\ntriggers = []', "policy.empty"),
        (b'repository = "acme/hello"\nissuer = ""', "policy.empty"),
        (b'repository = "acme/hello"\nstatement = "any"', "policy.statement"),
        (b'repository = "acme/hello"\nstatement = true', "field.type"),
        (b'repository = "acme/hello"\naccept-unstated = true', "field.unknown"),
        (b'repository = "hello"', "policy.repository"),
        (b'repository = "https://github.com/acme/hello"', "policy.repository"),
        (b'repository = "acme/hello"\nsource-digest = "0123456"', "policy.source-digest"),
        (b'repository = "acme/hello"\nsigner-workflow = "build.yml"', "policy.signer-workflow"),
        (b'repository = "acme/hello"\nsigner-workflow = "/build.yml"', "policy.signer-workflow"),
        (b'repository = "acme/hello"\nsigner-workflow = "a/b/c.yml@"', "policy.signer-workflow"),
        (b'repository = "acme/hello"\nrepository = "acme/evil"', "policy.toml"),
        (b'repository = "acme/hello', "policy.toml"),
        (b'repository = "acme/\xff"', "policy.toml"),
        (b"repository = " + b"[" * 20_000, "policy.toml"),
        (b"repository = " + b"9" * 20_000, "policy.toml"),
        (b"#" * (MAX_SIZE + 1), "policy.size"),
    ],
)
def test_anything_else_is_an_error(text: bytes, code: str) -> None:
    with pytest.raises(GlassclaveError) as caught:
        load(text)
    assert caught.value.code == code
    assert caught.value.exit_status in (2, 3)


def test_the_limits_are_the_documented_ones() -> None:
    policy = b'repository = "acme/hello"\n'
    assert load(policy + b"#" * (65536 - len(policy))) == Policy(repository="acme/hello")
    with pytest.raises(LimitError):
        load(policy + b"#" * (65537 - len(policy)))
    refs = [f"refs/heads/{number}" for number in range(65)]
    assert load(policy + f"source-refs = {refs[:64]}".encode()).source_refs == tuple(refs[:64])
    for key in ("source-refs", "triggers"):
        with pytest.raises(LimitError):
            load(policy + f"{key} = {refs}".encode())


def test_an_owner_of_a_managed_enterprise_has_an_underscore() -> None:
    assert load(b'repository = "ada_acme/hello"').repository == "ada_acme/hello"


def test_a_dotted_key_takes_no_memory() -> None:
    with pytest.raises(GlassclaveError) as caught:
        load_policy(b"a." * 30_000 + b"a = 1", source="policy.toml")
    assert caught.value.code == "policy.toml"
    for dots, code in ((256, "field.unknown"), (257, "policy.toml")):
        with pytest.raises(GlassclaveError) as caught:
            load_policy(b"b = 1\n" + b"a." * dots + b"a = 1", source="policy.toml")
        assert caught.value.code == code
