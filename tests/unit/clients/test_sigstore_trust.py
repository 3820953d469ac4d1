from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from glassclave.clients.sigstore_keys import Window
from glassclave.clients.sigstore_trust import load_trust, tuf_targets
from glassclave.errors import ParseError, UnavailableError

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "sigstore"
ROOT = json.loads((VECTORS / "real2_trusted_root.json").read_bytes())
CONFIG = json.loads((VECTORS / "real2_trust_config.json").read_bytes())


def load(document: object) -> Any:
    return load_trust(json.dumps(document).encode(), source="a file")


def test_a_root_alone_and_in_a_configuration_is_the_same_root() -> None:
    alone, whole = load(ROOT), load(CONFIG)
    assert alone.identity == whole.identity
    assert (alone.config is None, whole.config is None) == (True, False)
    assert alone.identity.sha256 == "a7ddd8edf52d8734be7ff3be8c3396afe3d269c80f9043f9e60448e2986a9742"
    assert not alone.identity.public_good


def test_the_layout_of_the_file_says_nothing_and_one_letter_everything() -> None:
    turned = load_trust(json.dumps(dict(reversed(ROOT.items())), indent=9).encode())
    assert turned.identity == load(ROOT).identity
    other = copy.deepcopy(ROOT)
    other["tlogs"][0]["baseUrl"] += "/"
    assert load(other).identity.sha256 != load(ROOT).identity.sha256


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache of this machine is neither read nor written."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.mark.usefixtures("no_home")
def test_the_public_root_that_the_library_ships_is_read_whole() -> None:
    """Breaks with sigstore-python's private interface, and with a form of root that we do not read."""
    root, config = tuf_targets(offline=True)
    trust = load_trust(root)
    assert len(trust.keys.authorities) == 2
    assert trust.keys.authorities[0].window.end is not None, "the first authority was retired in 2022"
    assert len(trust.keys.logs) >= 2
    assert json.loads(config)["mediaType"].startswith("application/vnd.dev.sigstore.signingconfig")


@pytest.mark.usefixtures("no_home")
def test_without_a_way_to_the_public_root_nothing_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UnavailableError) as caught:
        load_trust(None)
    assert caught.value.code == "trust.unavailable"
    assert "--trust-config" in (caught.value.hint or "")


Root = dict[str, Any]


def no_authority(root: Root) -> None:
    root["certificateAuthorities"] = []


def no_log(root: Root) -> None:
    root["tlogs"] = []


def no_certificate_log(root: Root) -> None:
    root["ctlogs"] = []


def other_media_type(root: Root) -> None:
    root["mediaType"] = "application/vnd.dev.sigstore.trustedroot+json;version=9"


def unknown_field(root: Root) -> None:
    root["more"] = []


def second_spelling(root: Root) -> None:
    root["certificate_authorities"] = root["certificateAuthorities"]


def other_spelling(root: Root) -> None:
    root["certificate_authorities"] = root.pop("certificateAuthorities")


def no_base64(root: Root) -> None:
    root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = "!"


def no_ascii(root: Root) -> None:
    root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = "é"


def no_time(root: Root) -> None:
    root["tlogs"][0]["publicKey"]["validFor"]["start"] = "yesterday"


def no_zone(root: Root) -> None:
    root["tlogs"][0]["publicKey"]["validFor"]["start"] = "2026-11-22T03:08:38"


def no_identity(root: Root) -> None:
    del root["tlogs"][0]["logId"]


@pytest.mark.parametrize(
    "bend",
    [
        no_authority,
        no_log,
        no_certificate_log,
        other_media_type,
        unknown_field,
        second_spelling,
        other_spelling,
        no_base64,
        no_ascii,
        no_time,
        no_zone,
        no_identity,
    ],
)
def test_a_root_that_could_be_read_in_two_ways_or_trusts_nothing(bend: Callable[[Root], None]) -> None:
    root = copy.deepcopy(ROOT)
    bend(root)
    with pytest.raises(ParseError):
        load(root)


def test_an_authority_with_a_bit_string_for_a_name_has_none() -> None:
    # cryptography answers with a TypeError.
    root = copy.deepcopy(ROOT)
    certificate = root["certificateAuthorities"][0]["certChain"]["certificates"][-1]
    der = base64.b64decode(certificate["rawBytes"])
    odd = der.replace(b"\x13\x08sigstore", b"\x03\x08\0igstore")
    assert odd != der
    certificate["rawBytes"] = base64.b64encode(odd).decode()
    assert load(root).identity.name == "unnamed"


@pytest.mark.parametrize("document", [{}, [], None, 1, {"mediaType": CONFIG["mediaType"]}])
def test_a_file_that_is_something_else(document: object) -> None:
    with pytest.raises(ParseError):
        load(document)


def test_a_window_includes_both_its_ends() -> None:
    noon, later = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)
    assert Window(noon, later).holds(noon)
    assert Window(noon, later).holds(later)
    assert not Window(noon, noon).holds(later)
    assert not Window(later, None).holds(noon)
    assert Window(None, None).holds(noon)


def test_a_clock_before_every_key_is_no_verdict() -> None:
    """The library leaves out authorities that are not in use yet, and every signature seems to be bad."""
    later = copy.deepcopy(ROOT)
    for authority in later["certificateAuthorities"]:
        authority["validFor"] = {"start": "2999-01-01T00:00:00Z"}
    with pytest.raises(UnavailableError) as caught:
        load(later)
    assert caught.value.code == "trust.clock"
    later["certificateAuthorities"] += copy.deepcopy(ROOT["certificateAuthorities"])
    load(later)
