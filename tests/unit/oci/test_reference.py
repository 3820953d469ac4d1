import pytest

from glassclave.errors import UsageError
from glassclave.oci.reference import Reference, parse_reference

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("ghcr.io/acme/app:v1", Reference("ghcr.io", "acme/app", "v1")),
        ("ghcr.io/acme/app", Reference("ghcr.io", "acme/app")),
        (f"ghcr.io/a/b@sha256:{HEX}", Reference("ghcr.io", "a/b", None, f"sha256:{HEX}")),
        (f"ghcr.io/a/b:t@sha256:{HEX}", Reference("ghcr.io", "a/b", "t", f"sha256:{HEX}")),
        ("127.0.0.1:5000/o/r:t", Reference("127.0.0.1:5000", "o/r", "t")),
        ("localhost/r:t", Reference("localhost", "r", "t")),
        ("[::1]:5000/r", Reference("[::1]:5000", "r")),
        ("GHCR.io/a/b_c__d-e.f:T", Reference("ghcr.io", "a/b_c__d-e.f", "T")),
    ],
)
def test_a_reference_is_read(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("acme/app:v1", "reference.registry"),
        ("app", "reference.registry"),
        ("ghcr.io", "reference.registry"),
        ("ghcr.io:0/a", "reference.registry"),
        ("ghcr.io:65536/a", "reference.registry"),
        ("user@ghcr.io/a", "reference.registry"),
        ("https://ghcr.io/a", "reference.registry"),
        ("ghcr..io/a", "reference.registry"),
        ("", "reference.syntax"),
        ("ghcr.io/", "reference.syntax"),
        ("ghcr.io/A/b", "reference.syntax"),
        ("ghcr.io/a//b", "reference.syntax"),
        ("ghcr.io/a/../b", "reference.syntax"),
        ("ghcr.io/a?x=1", "reference.syntax"),
        ("ghcr.io/a:", "reference.syntax"),
        ("ghcr.io/a:.t", "reference.syntax"),
        ("ghcr.io/a:" + "t" * 129, "reference.syntax"),
        ("ghcr.io/a:t\n", "reference.syntax"),
        ("ghcr.io/a@sha256:" + HEX.upper(), "reference.syntax"),
        ("ghcr.io/a@sha256:" + HEX[:-1], "reference.syntax"),
        ("ghcr.io/a@sha512:" + HEX, "reference.syntax"),
        ("ghcr.io/а", "reference.syntax"),
        ("ghcr.io/" + "a" * 256, "reference.syntax"),
    ],
)
def test_anything_else_is_refused(text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.code == code


def test_a_reference_is_pinned_tagged_and_written() -> None:
    reference = parse_reference("ghcr.io/a/b:v1")
    pinned = reference.pinned(f"sha256:{HEX}")
    assert (str(reference), str(pinned)) == ("ghcr.io/a/b:v1", f"ghcr.io/a/b@sha256:{HEX}")
    assert str(pinned.tagged("v2")) == "ghcr.io/a/b:v2"
    assert pinned.name == "ghcr.io/a/b"
