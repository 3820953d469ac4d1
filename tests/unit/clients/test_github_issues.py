"""Issues on GitHub, asked of an API on loopback that answers as documented."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from glassclave.clients.github_issues import CREATOR, MAX_PAGES, PER_PAGE, GithubIssues
from glassclave.errors import GlassclaveError
from tests.pipeline.github import BOT, IssueBook, IssuesApi

REPOSITORY = "acme/hello"
TITLE = "Enclave image ghcr.io/acme/hello:1.2 cannot be built again"


@dataclass
class Place:
    """A repository's issues and a client that may write them."""

    book: IssueBook
    client: GithubIssues
    url: str


@pytest.fixture
def place() -> Iterator[Place]:
    book = IssueBook(REPOSITORY, "t0ken-of-the-job")
    with IssuesApi(book) as api:
        yield Place(book, GithubIssues(api.url + "/", book.token, sleep=lambda _seconds: None), api.url)


def error_of(action: Callable[[], object]) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        action()
    assert "t0ken" not in f"{caught.value}{caught.value.hint}"
    return caught.value


def test_an_issue_is_opened_found_and_commented_on(place: Place) -> None:
    assert CREATOR == BOT
    assert place.client.find_open(REPOSITORY, TITLE) is None
    opened = place.client.create(REPOSITORY, TITLE, "§ body\n")
    assert (opened.number, opened.url) == (1, f"https://github.com/{REPOSITORY}/issues/1")
    assert place.book.issues[0]["body"] == "§ body\n"
    assert place.client.find_open(REPOSITORY, TITLE) == opened
    place.client.comment(REPOSITORY, opened, "again")
    assert place.book.issues[0]["comments"] == ["again"]
    assert place.book.requests[0] == (
        f"GET /repos/{REPOSITORY}/issues?state=open&creator=github-actions%5Bbot%5D"
        "&sort=created&direction=asc&per_page=100&page=1"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"title": TITLE + " "},
        {"title": TITLE.upper()},
        {"title": TITLE, "state": "closed"},
        {"title": TITLE, "user": {"login": "somebody"}},
        {"title": TITLE, "pull_request": {"url": "x"}},
    ],
)
def test_another_issue_is_not_ours(place: Place, other: dict[str, object]) -> None:
    place.book.add(**other)  # type: ignore[arg-type]
    assert place.client.find_open(REPOSITORY, TITLE) is None


def test_all_pages_are_read_and_the_oldest_is_taken(place: Place) -> None:
    for number in range(PER_PAGE + 5):
        place.book.add(f"other {number}")
    assert place.client.find_open(REPOSITORY, TITLE) is None
    wanted = place.book.add(TITLE)
    place.book.add(TITLE)
    found = place.client.find_open(REPOSITORY, TITLE)
    assert found is not None
    assert found.number == wanted["number"]
    assert [one.rpartition("page=")[2] for one in place.book.requests] == ["1", "2", "1", "2"]


def test_there_is_an_end_to_the_pages(place: Place) -> None:
    for number in range(PER_PAGE * MAX_PAGES):
        place.book.add(f"other {number}")
    assert error_of(lambda: place.client.find_open(REPOSITORY, TITLE)).code == "github.issues"
    assert len(place.book.requests) == MAX_PAGES


@pytest.mark.parametrize(
    ("status", "word"),
    [(401, "token"), (403, "may not"), (404, "no such"), (410, "turned off"), (422, "422")],
)
def test_a_refusal_says_why(place: Place, status: int, word: str) -> None:
    place.book.status = status
    for action in (
        lambda: place.client.find_open(REPOSITORY, TITLE),
        lambda: place.client.create(REPOSITORY, TITLE, "b"),
    ):
        error = error_of(action)
        assert (error.code, error.exit_status) == ("github.issues", 3)
        assert word in error.message
        assert "issues: write" in (error.hint or "")


def test_reading_is_tried_again_and_writing_is_not(place: Place) -> None:
    place.book.status = 503
    assert error_of(lambda: place.client.find_open(REPOSITORY, TITLE)).code == "registry.unavailable"
    assert len(place.book.requests) == 4
    assert error_of(lambda: place.client.create(REPOSITORY, TITLE, "b")).code == "github.issues"
    assert len(place.book.requests) == 5


def test_another_token_is_not_taken(place: Place) -> None:
    other = GithubIssues(place.url, "t0ken of nobody")
    assert error_of(lambda: other.create(REPOSITORY, TITLE, "b")).code == "github.issues"
    assert place.book.issues == []


@pytest.mark.parametrize("answer", [{"message": "x"}, [1], [{"title": 1}], [{"title": TITLE, "number": 0}]])
def test_an_answer_in_another_form_ends_in_words(place: Place, answer: object) -> None:
    place.book.listed = answer
    assert error_of(lambda: place.client.find_open(REPOSITORY, TITLE)).code.startswith("field.")


def test_plain_http_is_for_loopback_only() -> None:
    client = GithubIssues("http://api.example.org", "t0ken")
    assert error_of(lambda: client.create(REPOSITORY, TITLE, "b")).code == "registry.url"
