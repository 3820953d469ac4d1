"""The harness's GitHub API answers as the documented one: what a reader of logs has to cope with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import urllib3

from tests.pipeline.github_api import GithubApi
from tests.pipeline.records import JobRecord

RUN = "/repos/Acme/Hello/actions/runs/777/attempts/1/jobs"


@pytest.fixture
def api() -> Iterator[GithubApi]:
    with GithubApi("Acme/Hello", "5" * 40) as running:
        yield running


def get(api: GithubApi, path: str, token: str | None, *, redirect: bool = False) -> urllib3.BaseHTTPResponse:
    headers = {"User-Agent": "test"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with urllib3.PoolManager() as pool:
        return pool.request("GET", api.url + path, headers=headers, redirect=redirect, retries=2)


def test_jobs_come_in_pages(api: GithubApi) -> None:
    api.jobs += [JobRecord(number, f"call / job {number}") for number in range(1, 6)]
    token = api.grant({"actions": "read"})
    seen: list[int] = []
    path = f"{RUN}?per_page=2"
    while path:
        answer = get(api, path, token)
        said = answer.json()
        assert said["total_count"] == 5
        seen += [job["id"] for job in said["jobs"]]
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
        path = following[1].removeprefix(api.url) if following else ""
    assert seen == [1, 2, 3, 4, 5]


def test_a_log_is_elsewhere_and_has_a_time_on_every_line(api: GithubApi) -> None:
    job = JobRecord(9, "call / build")
    step = job.begin("Build")
    job.say("##[group]Run make\n\x1b[36;1mmake\x1b[0m\n##[endgroup]")
    job.end(step, "success")
    api.jobs.append(job)
    token = api.grant({"actions": "read"})
    logs = "/repos/Acme/Hello/actions/jobs/9/logs"
    assert get(api, logs, token).status == 404  # it still runs
    job.complete("success")
    found = get(api, logs, token)
    assert found.status == 302
    assert urlsplit(found.headers["Location"]).hostname == "localhost"
    text = get(api, logs, token, redirect=True).data.decode()
    assert text.startswith("\ufeff")
    lines = text.removeprefix("\ufeff").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z ", line) for line in lines)
    assert [line.partition(" ")[2] for line in lines][1] == "\x1b[36;1mmake\x1b[0m"


@pytest.mark.parametrize(
    ("permissions", "status"),
    [({"actions": "read"}, 200), ({"contents": "read"}, 403), ({}, 403), (None, 401)],
)
def test_permissions(api: GithubApi, permissions: dict[str, str] | None, status: int) -> None:
    token = "unknown" if permissions is None else api.grant(permissions)
    assert get(api, RUN, token).status == status


def test_the_store_refuses_a_token(api: GithubApi) -> None:
    job = JobRecord(9, "build")
    job.complete("success")
    api.jobs.append(job)
    token = api.grant({"actions": "read"})
    place = get(api, "/repos/Acme/Hello/actions/jobs/9/logs", token).headers["Location"]
    with urllib3.PoolManager() as pool:
        refused = pool.request("GET", place, headers={"Authorization": f"Bearer {token}"})
        assert refused.status == 400
        assert pool.request("GET", place).status == 200
