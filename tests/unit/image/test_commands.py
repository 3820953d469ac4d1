"""Commands of RUN steps that may fetch: by their names, wherever a shell may have them."""

from __future__ import annotations

import pytest

from glassclave.image.commands import MAX_TEXT, Command, fetching_commands


def found(step: str) -> list[str]:
    return [command.text for command in fetching_commands([(1, step)])]


@pytest.mark.parametrize(
    "command",
    [
        "curl -fsSL https://example.org/x",
        "/usr/bin/wget x",
        "git clone --depth 1 https://example.org/x",
        "git -C /src fetch origin",
        "git submodule update --init",
        "pip install -r requirements.txt",
        "pip3 --no-cache-dir install x",
        "python3.11 -m pip install x",
        "npm ci",
        "go install example.org/x@latest",
        "go mod download",
        "cargo build --release",
        "apk add --no-cache curl",
        "apt-get -y install jq",
        "dnf install -y x",
        "sudo -E curl x",
        "FOO=bar BAZ=1 curl x",
        "if curl x",
        "! wget x",
        "@curl x",
    ],
)
def test_what_may_fetch_is_listed(command: str) -> None:
    assert found(command) == [command]


@pytest.mark.parametrize(
    "command",
    [
        "echo curl",
        "apt-get clean",
        "apk del curl",
        "git config --global a b",
        "git commit -m fetched",
        "pip --version",
        "python3 -m venv /v",
        "python3 setup.py install",
        "go version",
        "rm -rf /home/app/.npm",
        "curlx y",
        "./setup.sh",
        "",
        "sudo -E",
        "A=1",
    ],
)
def test_what_does_not_by_its_name_is_not(command: str) -> None:
    assert found(command) == []


@pytest.mark.parametrize(
    ("step", "commands"),
    [
        ("a && curl b || wget c; pip install d | tee e", ["curl b", "wget c", "pip install d"]),
        ("X=$(curl a) && Y=`wget b`", ["curl a", "wget b"]),
        ("(cd /x; curl a) & { wget b; }", ["curl a", "wget b"]),
        ("sh -c 'curl a'", ["sh -c 'curl a'"]),
        ('["curl", "-o", "x", "https://y"]', ["curl -o x https://y"]),
        ('["sh", "-c", "true && curl x"]', ["curl x"]),
        ('["curl"', []),
        ("--mount=type=cache,target=/x --network=default curl a", ["curl a"]),
        ("curl   a\t b", ["curl a b"]),
        ("curl a; curl a", ["curl a"]),
        ("set -e\nwget a\n", ["wget a"]),
    ],
)
def test_a_step_is_taken_apart(step: str, commands: list[str]) -> None:
    assert found(step) == commands


def test_addresses_lose_their_passwords_and_texts_their_length() -> None:
    assert found("curl https://me:token@example.org/x") == ["curl https://example.org/x"]
    (long,) = found("curl " + "x" * MAX_TEXT)
    assert (len(long), long[-1]) == (MAX_TEXT, "…")
    (whole,) = found("curl " + "x" * (MAX_TEXT - 5))
    assert whole == "curl " + "x" * (MAX_TEXT - 5)


def test_lines_are_those_of_the_steps() -> None:
    steps = [(3, "curl a"), (9, "true"), (12, "curl a")]
    assert fetching_commands(steps) == (Command(3, "curl a"), Command(12, "curl a"))
