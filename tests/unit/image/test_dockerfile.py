from __future__ import annotations

import pytest

from glassclave.errors import GlassclaveError, LimitError
from glassclave.image.dockerfile import BaseImage, Dockerfile, parse_dockerfile

DIGEST = "sha256:" + "5a" * 32


def parse(text: str, target: str | None = None, **build_args: str) -> Dockerfile:
    return parse_dockerfile(text.encode(), source="Dockerfile", build_args=build_args, target=target)


def bases(text: str, target: str | None = None, **build_args: str) -> list[str]:
    return [base.name for base in parse(text, target, **build_args).bases]


def test_stages_and_scratch_are_nobodys_images() -> None:
    text = (
        "FROM golang:1.26 AS Build\nRUN x\nFROM scratch\nCOPY --from=build /a /a\nFROM build\nFROM SCRATCH\n"
    )
    assert bases(text) == ["golang:1.26"]


def test_a_digest_pins() -> None:
    (base,) = parse(f"FROM debian:12@{DIGEST}\n").bases
    assert (base.name, base.digest) == (f"debian:12@{DIGEST}", DIGEST)
    assert BaseImage("debian:12").digest is None
    assert BaseImage("debian@sha256:5a").digest is None


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        ("ARG V=12\nFROM debian:$V\n", {}, "debian:12"),
        ("ARG V=12\nFROM debian:${V}\n", {"V": "13"}, "debian:13"),
        ("ARG V\nFROM debian:${V:-11}\n", {}, "debian:11"),
        ("ARG V\nFROM debian${V:+:$V}\n", {"V": "9"}, "debian:$V"),
        ("ARG A=1\nARG B=${A}2\nFROM x:$B\n", {}, "x:12"),
        ("FROM x:$NOBODY\n", {"NOBODY": "1"}, "x:"),
        ("FROM --platform=$BUILDPLATFORM x:1 AS y\n", {}, "x:1"),
        ("from x:1 as y\n", {}, "x:1"),
        ("# syntax=docker/dockerfile:1\n# escape=`\nFROM `\n  x:1\n", {}, "x:1"),
        ("# a comment\n\nFROM \\\n# between\n\n  x:1\n", {}, "x:1"),
        ("\ufeffFROM x:1\n", {}, "x:1"),
        ('ARG V="12"\nFROM x:$V', {}, "x:12"),
    ],
)
def test_names_are_read_as_the_builder_reads_them(text: str, given: dict[str, str], wanted: str) -> None:
    assert bases(text, **given) == [wanted]


def test_copies_from_images_count_once() -> None:
    text = (
        "ARG TOOL=tool:2\nFROM a:1 AS one\nARG TOOL\nCOPY --from=$TOOL /x /x\n"
        "COPY --chown=1:1 --from=b:1 /y /y\n"
        "COPY --from=0 /z /z\nCOPY --from=one /z /z\nCOPY --from=b:1 /w /w\nFROM a:1\n"
    )
    assert bases(text) == ["a:1", "tool:2", "b:1"]


def test_addresses_that_add_fetches() -> None:
    text = (
        "FROM scratch\nENV V=2 W=3\nADD https://example.org/a-$V.tar.gz ./b /\nADD c /d\n"
        'ADD --checksum=sha256:0 ["https://example.org/e", "/f"]\n'
        "ADD git@example.org:x.git#main /g\nCOPY https://no /\n"
    )
    assert parse(text).added == (
        "https://example.org/a-2.tar.gz",
        "https://example.org/e",
        "git@example.org:x.git#main",
    )


def test_a_target_ends_what_counts() -> None:
    text = "FROM a:1 AS one\nFROM b:1 AS two\nADD https://x/y /y\nFROM c:1\n"
    assert bases(text, "one") == ["a:1"]
    assert bases(text, "TWO") == bases(text, "1") == ["a:1", "b:1"]
    assert parse(text, "one").added == ()
    assert bases(text) == ["a:1", "b:1", "c:1"]


def test_what_stands_in_a_heredoc_is_no_instruction() -> None:
    text = (
        "FROM a:1\nRUN <<EOF cat <<-'TWO'\nFROM evil:1\nEOF\n\tADD https://x /\n\tTWO\n"
        "COPY <<F /x\nFROM b\nF\nFROM c:1\n"
    )
    assert bases(text) == ["a:1", "c:1"]


@pytest.mark.parametrize("line", ["RUN cat <<< x", 'RUN cat <<<"x"', "RUN echo $((1<<N))", "RUN a b<<c"])
def test_a_shells_own_arrows_begin_no_heredoc(line: str) -> None:
    assert bases(f"FROM a:1\n{line}\nFROM c:1\n") == ["a:1", "c:1"]


@pytest.mark.parametrize(
    ("text", "target", "root"),
    [
        ("FROM a:1\n", None, "a:1"),
        ("FROM scratch\n", None, None),
        ("FROM a:1 AS x\nFROM X\n", None, "a:1"),
        ("FROM a:1 AS x\nFROM x AS y\nFROM y\n", None, "a:1"),
        ("FROM scratch AS x\nFROM x\n", None, None),
        ("FROM a:1 AS x\nFROM b:1\nCOPY --from=x /a /a\n", None, "b:1"),
        ("FROM a:1 AS x\nFROM b:1\n", "x", "a:1"),
        ("FROM a:1 AS x\nFROM b:1 AS x\nFROM x\n", None, "b:1"),
        ("ARG V=2\nFROM a:$V\n", None, "a:2"),
        ("FROM a:1\nFROM $NONE\n", None, ""),
    ],
)
def test_what_the_result_rests_on(text: str, target: str | None, root: str | None) -> None:
    found = parse(text, target).root
    assert (found and found.name) == root


def test_a_heredocs_body_is_no_option_and_no_address() -> None:
    text = "FROM a:1\nCOPY <<EOF /x\n--from=evil:1\nEOF\nADD <<EOF /x /y\nhttps://evil/ b\nEOF\n"
    assert bases(text) == ["a:1"]
    assert parse(text).added == ()


def test_commands_that_may_fetch() -> None:
    text = (
        "FROM a:1\n# curl x\nRUN apt-get update && \\\n  # no\n  apt-get install -y jq; echo curl\n"
        "COPY <<EOF /x\ncurl y\nEOF\nRUN <<EOF\nset -e\nwget z\nEOF\nFROM b:1\nRUN npm ci\n"
    )
    found = parse(text).commands
    assert [(one.line, one.text) for one in found] == [
        (3, "apt-get update"),
        (3, "apt-get install -y jq"),
        (9, "wget z"),
        (14, "npm ci"),
    ]
    assert len(parse(text, "0").commands) == 3


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "dockerfile.from"),
        (b"RUN x\n", "dockerfile.from"),
        (b"FROM\n", "dockerfile.from"),
        (b"FROM a b\n", "dockerfile.from"),
        (b"FROM a AS\n", "dockerfile.from"),
        (b"\xff\xfe", "dockerfile.encoding"),
        (b"#" * (1 << 20) + b"#", "dockerfile.size"),
    ],
)
def test_what_is_no_dockerfile(data: bytes, code: str) -> None:
    with pytest.raises(GlassclaveError) as caught:
        parse_dockerfile(data, source="Dockerfile", build_args={})
    assert caught.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        'FROM a\nADD "' + "a" * 1_000_000 + '" b',
        "FROM a\nENV a=" + "${a:-" * 200_000,
        "#a=x" + " " * 1_000_000 + "y\nFROM a",
        "FROM a\nRUN " + "<<a " * 250_000,
    ],
    ids=["quoted", "variables", "directive", "heredocs"],
)
@pytest.mark.timeout(30)
def test_no_text_takes_long(text: str) -> None:
    assert bases(text) == ["a"]


def test_variables_that_multiply_are_refused() -> None:
    lines = [f"ENV v{n + 1}=" + f"$v{n}" * 10 for n in range(12)]
    assert bases("\n".join(["FROM a", "ENV v0=x", *lines[:6]])) == ["a"]
    with pytest.raises(LimitError) as caught:
        bases("\n".join(["FROM a", "ENV v0=x", *lines]))
    assert caught.value.code == "dockerfile.size"


def test_a_brace_without_end_is_left_as_it_is() -> None:
    assert bases("ARG V=1\nFROM x:${V}${V\n") == ["x:1${V"]
    assert bases("ARG V=1\nFROM x:$V-${V}-$V\n") == ["x:1-1-1"]
