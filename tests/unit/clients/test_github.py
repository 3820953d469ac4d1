"""GitHub's API on loopback: what is read of a run, what is refused, and what never leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from glassclave.buildlog.text import MAX_TEXT
from glassclave.clients.github import GithubApi
from glassclave.clients.retries import ATTEMPTS
from glassclave.errors import GlassclaveError, LimitError, ParseError, UnavailableError
from glassclave_sandbox.services.server import Answer, Listener, Request, json_answer
from tests.pipeline.github_api import GithubApi as Server
from tests.pipeline.records import JobRecord

REPOSITORY = "Acme/Hello"
TOKEN = "ghs_secretsecretsecret"
READ = {"actions": "read"}
Document = dict[str, Any]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(REPOSITORY, "5" * 40) as running:
        yield running


@dataclass
class Naps:
    """A sleep that takes no time. ``then``: called in each."""

    seconds: list[float] = field(default_factory=list)
    then: Callable[[], None] = lambda: None

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.then()


@pytest.fixture
def naps() -> Naps:
    return Naps()


def client(server: Server, naps: Naps, permissions: Mapping[str, str] | None = None) -> GithubApi:
    token = server.grant(READ if permissions is None else permissions)
    return GithubApi(token, address=server.url + "/", sleep=naps)


def ended(number: int = 9, name: str = "call / build") -> JobRecord:
    job = JobRecord(number, name)
    step = job.begin("Build")
    job.say("##[group]Run make\nmake")
    job.end(step, "success")
    job.complete("success")
    return job


def test_every_page_is_read(server: Server, naps: Naps) -> None:
    server.jobs += [ended(number, f"job {number}") for number in range(1, 251)]
    jobs = client(server, naps).list_jobs(REPOSITORY, 777, 1)
    assert [job.job_id for job in jobs] == list(range(1, 251))
    assert [path.partition("?")[2] for _, path, _ in server.requests] == [
        f"per_page=100&page={page}" for page in (1, 2, 3)
    ]


def test_jobs_and_steps_as_they_are(server: Server, naps: Naps) -> None:
    running = JobRecord(10, "sign")
    running.begin("Set up job")
    server.jobs += [ended(), running]
    done, goes_on = client(server, naps).list_jobs(REPOSITORY, 777, 1)
    assert (done.name, done.job_id, done.conclusion) == ("call / build", 9, "success")
    assert [(step.number, step.name, step.conclusion) for step in done.steps] == [(1, "Build", "success")]
    assert done.steps[0].started_at is not None and done.steps[0].started_at.endswith("Z")
    assert done.text is None
    assert (goes_on.conclusion, goes_on.steps[0].conclusion) == (None, None)


def test_a_log_is_fetched_elsewhere_and_the_token_stays(server: Server, naps: Naps) -> None:
    """The store answers 400 to anybody who brings one."""
    server.jobs.append(ended())
    text = client(server, naps).fetch_log(REPOSITORY, 9)
    assert text.startswith(b"\xef\xbb\xbf") and b"##[group]Run make\n" in text
    assert [(host, status) for host, _, status in server.requests] == [("api", 302), ("store", 200)]
    assert naps.seconds == []


def test_a_log_that_comes_late_is_waited_for(server: Server, naps: Naps) -> None:
    job = JobRecord(9, "build")
    server.jobs.append(job)
    naps.then = lambda: job.complete("success") if len(naps.seconds) == 2 else None
    client(server, naps).fetch_log(REPOSITORY, 9)
    assert naps.seconds == [10.0, 10.0]


def test_a_log_that_does_not_come_is_given_up(server: Server, naps: Naps) -> None:
    server.jobs.append(JobRecord(9, "build"))
    with pytest.raises(UnavailableError) as error:
        client(server, naps).fetch_log(REPOSITORY, 9)
    assert error.value.code == "github.not-found"
    assert naps.seconds == [10.0] * (ATTEMPTS - 1)


@pytest.mark.parametrize(
    ("permissions", "code"), [({"contents": "read"}, "github.forbidden"), ({}, "github.forbidden")]
)
def test_without_permission_nothing_is_tried_twice(
    server: Server, naps: Naps, permissions: Mapping[str, str], code: str
) -> None:
    server.jobs.append(ended())
    api = client(server, naps, permissions)
    for ask in (lambda: api.list_jobs(REPOSITORY, 777, 1), lambda: api.fetch_log(REPOSITORY, 9)):
        with pytest.raises(UnavailableError) as error:
            ask()
        assert error.value.code == code
        assert "actions: read" in (error.value.hint or "")
    assert len(server.requests) == 2


def test_a_run_that_is_not_there(server: Server, naps: Naps) -> None:
    api = client(server, naps)
    for repository, run, attempt in ((REPOSITORY, 778, 1), (REPOSITORY, 777, 2), ("Acme/Other", 777, 1)):
        with pytest.raises(UnavailableError) as error:
            api.list_jobs(repository, run, attempt)
        assert error.value.code == "github.not-found"
    assert naps.seconds == []


@contextmanager
def lying(answer: Callable[[Request], Answer]) -> Iterator[tuple[GithubApi, list[str]]]:
    """A client of an API that answers what it likes, and the queries that were sent."""
    asked: list[str] = []

    def serve(request: Request) -> Answer:
        asked.append(request.query.get("page", request.path))
        return answer(request)

    listener = Listener(serve, refusal=lambda error: {"message": error.message})
    try:
        yield GithubApi(TOKEN, address=f"http://{listener.address}", sleep=lambda _: None), asked
    finally:
        listener.close()


def shown(number: int = 9, **change: object) -> Document:
    return ended(number).shown(REPOSITORY, 777, 1, "5" * 40) | change


def refusal(api: GithubApi) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as error:
        api.list_jobs(REPOSITORY, 777, 1)
    assert TOKEN not in f"{error.value!r} {error.value} {error.value.hint}"
    assert error.value.exit_status == 3
    return error.value


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (401, "github.forbidden", 1),
        (403, "github.forbidden", 1),
        (410, "github.answer", 1),
        (204, "github.answer", 1),
        (301, "github.answer", 1),
        (501, "github.answer", 1),
        (429, "github.rate-limited", ATTEMPTS),
        (500, "github.unavailable", ATTEMPTS),
        (502, "github.unavailable", ATTEMPTS),
        (503, "github.unavailable", ATTEMPTS),
    ],
)
def test_an_answer_that_is_none(status: int, code: str, tries: int) -> None:
    with lying(lambda _: Answer(status, b"" if status == 204 else TOKEN.encode())) as (api, asked):
        error = refusal(api)
    assert (error.code, len(asked)) == (code, tries)
    assert "regist" not in f"{error} {error.hint}"


def test_an_outage_that_ends_is_none() -> None:
    answers = [Answer(503), Answer(502), json_answer({"total_count": 1, "jobs": [shown()]})]
    with lying(lambda _: answers.pop(0)) as (api, asked):
        assert len(api.list_jobs(REPOSITORY, 777, 1)) == 1
    assert len(asked) == 3


def test_nobody_there() -> None:
    with lying(lambda _: Answer(200)) as (api, _):
        pass
    assert refusal(api).code == "github.unavailable"


@pytest.mark.parametrize("location", ["http://example.org/", "https://[", "ftp://example.org/", "//u@h/"])
def test_redirects_to_nowhere_are_not_followed(location: str) -> None:
    with lying(lambda _: Answer(302, headers={"Location": location})) as (api, _):
        assert refusal(api).code == "github.url"


def test_redirects_without_end_are_not_followed() -> None:
    with lying(lambda request: Answer(302, headers={"Location": request.path})) as (api, asked):
        assert refusal(api).code == "github.redirect"
    assert len(asked) < 10


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json.syntax"),
        (b"<html>", "json.syntax"),
        (b"[]", "field.type"),
        (b'{"jobs": []}', "field.missing"),
        (b'{"total_count": 1}', "field.missing"),
        (b'{"total_count": "1", "jobs": []}', "field.type"),
        (b'{"total_count": -1, "jobs": []}', "field.range"),
        (b'{"total_count": 1, "jobs": {}}', "field.type"),
        (b'{"total_count": 1, "jobs": [1]}', "field.type"),
        (b"[" * 100_000, "json.depth"),
    ],
)
def test_a_list_that_is_none(body: bytes, code: str) -> None:
    with lying(lambda _: Answer(200, body)) as (api, _):
        error = refusal(api)
    assert (error.code, error.source) == (code, "GitHub's answer")
    assert isinstance(error, ParseError)


STEP: Document = {"number": 1, "name": "a", "status": "completed", "conclusion": "success"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": 0}, "field.range"),
        ({"id": -9}, "field.range"),
        ({"id": 1 << 63}, "field.range"),
        ({"id": "9"}, "field.type"),
        ({"name": None}, "field.type"),
        ({"name": "x" * 1025}, "field.size"),
        ({"conclusion": None}, "github.answer"),
        ({"conclusion": 1}, "field.type"),
        ({"conclusion": "x" * 1025}, "field.size"),
        ({"status": None}, "field.type"),
        ({"steps": [STEP] * 1001}, "field.size"),
        ({"steps": [STEP | {"number": -1}]}, "field.range"),
        ({"steps": [STEP | {"name": "x" * 1025}]}, "field.size"),
        ({"steps": [STEP | {"started_at": "x" * 65}]}, "field.size"),
        ({"steps": [STEP | {"conclusion": None}]}, "github.answer"),
    ],
)
def test_a_job_that_is_none(change: Document, code: str) -> None:
    with lying(lambda _: json_answer({"total_count": 1, "jobs": [shown(**change)]})) as (api, _):
        assert refusal(api).code == code


def test_a_job_without_steps_and_steps_out_of_order() -> None:
    steps = [STEP | {"number": number} for number in (3, 1, 2)]
    jobs = [shown(8, steps=None), shown(9, steps=steps)]
    with lying(lambda _: json_answer({"total_count": 2, "jobs": jobs})) as (api, _):
        bare, full = api.list_jobs(REPOSITORY, 777, 1)
    assert bare.steps == ()
    assert [step.number for step in full.steps] == [1, 2, 3]


def test_a_list_that_ends_early_is_not_the_whole_run() -> None:
    for jobs in ([], [shown()]):
        with lying(lambda request, jobs=jobs: page(request, 300, jobs)) as (api, asked):  # type: ignore[misc]
            assert refusal(api).code == "github.answer"
        assert len(asked) == len(jobs) + 1


def page(request: Request, total: int, first: list[Document]) -> Answer:
    return json_answer({"total_count": total, "jobs": first if request.query["page"] == "1" else []})


def test_the_same_page_again_and_again_comes_to_an_end() -> None:
    jobs = [shown(number) for number in range(1, 101)]
    with lying(lambda _: json_answer({"total_count": 900, "jobs": jobs})) as (api, asked):
        assert refusal(api).code == "github.answer"
    assert asked == ["1", "2"]


def test_a_job_that_comes_twice_is_one() -> None:
    pages = {"1": [shown(1), shown(2)], "2": [shown(2), shown(3)]}
    with lying(lambda request: json_answer({"total_count": 3, "jobs": pages[request.query["page"]]})) as (
        api,
        _,
    ):
        assert [job.job_id for job in api.list_jobs(REPOSITORY, 777, 1)] == [1, 2, 3]


@pytest.mark.parametrize("total", [1001, 10**18])
def test_more_jobs_than_are_read_are_refused_at_once(total: int) -> None:
    with lying(lambda _: json_answer({"total_count": total, "jobs": [shown()]})) as (api, asked):
        assert refusal(api).code == "github.jobs"
    assert len(asked) == 1


def test_an_answer_that_is_too_large_is_not_read() -> None:
    answer = json_answer({"total_count": 1, "jobs": [shown()], "more": "x" * (8 << 20)})
    with lying(lambda _: answer) as (api, _):
        error = refusal(api)
    assert (type(error), error.code) == (LimitError, "github.size")


def test_a_log_that_is_too_large_is_not_read(server: Server, naps: Naps) -> None:
    server.jobs.append(ended())
    server.logs[9] = b"x" * (MAX_TEXT + 1)
    with pytest.raises(LimitError) as error:
        client(server, naps).fetch_log(REPOSITORY, 9)
    assert error.value.code == "github.size"
    assert naps.seconds == []


def test_the_token_is_in_no_error(server: Server, naps: Naps) -> None:
    with lying(lambda _: Answer(500)) as (api, _), pytest.raises(UnavailableError) as error:
        api.fetch_log(REPOSITORY, 9)
    chain: list[BaseException | None] = [error.value]
    while chain[-1] is not None:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    assert TOKEN not in json.dumps([f"{one!r} {one} {vars(one) if one else ''}" for one in chain])
