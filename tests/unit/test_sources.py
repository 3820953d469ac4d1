"""The forms of a repository's name and a commit's id."""

from __future__ import annotations

import pytest

from glassclave.sources import is_commit, is_repository


@pytest.mark.parametrize("text", ["a/b", "acme_corp/hello.world", "A-1/_", "x" * 100 + "/" + "y" * 100])
def test_repositories(text: str) -> None:
    assert is_repository(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/", "/b", "a/b/c", "a.b/c", "a/b ", "a/b\n", "ä/b", "x" * 101 + "/y", "x/" + 101 * "y"],
)
def test_what_is_no_repository(text: str) -> None:
    assert not is_repository(text)


@pytest.mark.parametrize(("text", "whole"), [("5f" * 20, True), ("5f" * 32, True), ("5f" * 20 + "\n", False)])
def test_commits(text: str, whole: bool) -> None:
    assert is_commit(text) is whole


@pytest.mark.parametrize("text", ["", "5f" * 19, "5f" * 21, "5f" * 31, "5F" * 20, "5g" * 20, " " + "5f" * 20])
def test_what_is_no_whole_commit(text: str) -> None:
    assert not is_commit(text)
