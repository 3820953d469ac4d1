"""What crosses from one job to the next: each change of it has a reason of its own."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from glassclave.errors import GlassclaveError, ParseError, RefusedError, UnavailableError
from glassclave.flows.hand_over import (
    MAX_FILES,
    HandOver,
    check_arrival,
    digest_folder,
    hand_over_text,
    parse_hand_over,
)

NAMES = ("a.eif", "a.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_what_was_sent_arrives(folder: Path) -> None:
    sent = digest_folder(folder)
    assert sent.files["a.eif"] == hashlib.sha256(b"a.eif").digest()
    text = hand_over_text(sent)
    assert "\n" not in text
    assert parse_hand_over(text, names=NAMES) == sent
    check_arrival(parse_hand_over(text, names=NAMES), digest_folder(folder))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda folder: (folder / "a.eif").write_bytes(b"A.eif"), "action.arrival.changed"),
        (lambda folder: (folder / "a.eif").unlink(), "action.arrival.missing"),
        (lambda folder: (folder / "b").touch(), "action.arrival.extra"),
        (lambda folder: (folder / ".hidden").touch(), "action.arrival.kind"),
        (lambda folder: (folder / "b").mkdir(), "action.arrival.kind"),
        (lambda folder: os.symlink("a.eif", folder / "b"), "action.arrival.kind"),
        (lambda folder: os.mkfifo(folder / "b"), "action.arrival.kind"),
    ],
)
def test_every_change_is_refused(folder: Path, change: object, code: str) -> None:
    sent = digest_folder(folder)
    assert callable(change)
    change(folder)
    with pytest.raises(RefusedError) as refused:
        check_arrival(sent, digest_folder(folder))
    assert refused.value.code == code


def test_two_names_do_not_change_places(folder: Path) -> None:
    sent = digest_folder(folder)
    changed = HandOver({"a.eif": sent.files["a.json"], "a.json": sent.files["a.eif"]})
    with pytest.raises(RefusedError, match="changed"):
        check_arrival(sent, changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        json.dumps({"a.eif": "00" * 32}),
        json.dumps({"a.eif": "00" * 32, "a.json": "00" * 32, "b": "00" * 32}),
        json.dumps({"a.eif": "00" * 31, "a.json": "00" * 32}),
        json.dumps({"a.eif": "0G" * 32, "a.json": "00" * 32}),
        json.dumps({"a.eif": {"x": 1}, "a.json": "00" * 32}),
        f'{{"a.eif": "{"00" * 32}", "a.eif": "{"11" * 32}", "a.json": "{"00" * 32}"}}',
        " " * 20000,
    ],
)
def test_no_other_text_is_understood(text: str) -> None:
    with pytest.raises(ParseError):
        parse_hand_over(text, names=NAMES)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        digest_folder(tmp_path / "nothing")


def test_a_folder_with_no_end_is_not_read_to_it(tmp_path: Path) -> None:
    for number in range(3 * MAX_FILES):
        (tmp_path / f"f{number:02}").touch()
    found = digest_folder(tmp_path)
    assert len(found.files) == MAX_FILES + 1
    with pytest.raises(GlassclaveError):
        check_arrival(HandOver({}), found)
