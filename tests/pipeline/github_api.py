"""GitHub's REST API for the jobs of a run and their logs, on loopback, with a store of logs beside it.

As documented: a list in pages with ``Link``; a log is a redirect to another host, which must not be sent the
token; 404 for a log while its job runs; 403 for a token without ``actions: read``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from glassclave_sandbox.services.server import (
    Answer,
    Listener,
    RefusedRequestError,
    Request,
    json_answer,
)
from tests.pipeline.records import JobRecord

JOBS = re.compile(r"/repos/([^/]+/[^/]+)/actions/runs/(\d+)/attempts/(\d+)/jobs")
LOG = re.compile(r"/repos/([^/]+/[^/]+)/actions/jobs/(\d+)/logs")
MOST_PER_PAGE = 100
USUAL_PER_PAGE = 30


@dataclass
class GithubApi:
    """One run's part of the API; a context manager.

    ``jobs``: what is served, in this order; add and change records while it listens.
    ``logs``: other bytes for a job's log than its own lines, by the job's id.
    """

    repository: str
    sha: str
    run_id: int = 777
    run_attempt: int = 1
    jobs: list[JobRecord] = field(default_factory=list)
    logs: dict[int, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    """(host name, path with query, status), of the API and of the store."""
    url: str = ""
    """``GITHUB_API_URL``."""
    _tokens: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)
    _listeners: list[Listener] = field(default_factory=list)
    _store: str = ""

    def grant(self, permissions: Mapping[str, str]) -> str:
        """A job's token with these permissions."""
        token = f"ghs_{secrets.token_hex(18)}"
        self._tokens[token] = dict(permissions)
        return token

    def permissions(self, token: str) -> Mapping[str, str]:
        """What a token is good for; nothing where nobody knows it."""
        return self._tokens.get(token, {})

    def tokens(self) -> tuple[str, ...]:
        """All that were granted."""
        return tuple(self._tokens)

    def __enter__(self) -> Self:
        api = Listener(self._answer, refusal=_refusal, observer=self._observer("api"))
        store = Listener(self._stored, refusal=_refusal, observer=self._observer("store"))
        self._listeners += [api, store]
        self.url = f"http://{api.address}"
        # Another name and another port: a client that follows must leave the token behind.
        self._store = f"http://localhost:{store.address.partition(':')[2]}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._listeners:
            self._listeners.pop().close()

    def _observer(self, host: str) -> Callable[[str, str, int], None]:
        return lambda _method, path, status: self.requests.append((host, path, status))

    def _answer(self, request: Request) -> Answer:
        if request.method != "GET":
            raise RefusedRequestError(404, "Not Found")
        if not request.headers.get("User-Agent"):
            raise RefusedRequestError(
                403, "Request forbidden by administrative rules. A User-Agent is needed"
            )
        if match := JOBS.fullmatch(request.path):
            self._check(request, match[1])
            if (int(match[2]), int(match[3])) != (self.run_id, self.run_attempt):
                raise RefusedRequestError(404, "Not Found")
            return self._page(request)
        if match := LOG.fullmatch(request.path):
            self._check(request, match[1])
            return self._log(int(match[2]))
        raise RefusedRequestError(404, "Not Found")

    def _check(self, request: Request, repository: str) -> None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() not in ("bearer", "token"):
            raise RefusedRequestError(401, "Requires authentication")
        if token not in self._tokens:
            raise RefusedRequestError(401, "Bad credentials")
        if repository.lower() != self.repository.lower():
            raise RefusedRequestError(404, "Not Found")
        if self._tokens[token].get("actions", "none") == "none":
            raise RefusedRequestError(403, "Resource not accessible by integration")

    def _page(self, request: Request) -> Answer:
        size = min(_number(request, "per_page", USUAL_PER_PAGE), MOST_PER_PAGE)
        page = _number(request, "page", 1)
        last = max(1, -(-len(self.jobs) // size))
        shown = self.jobs[(page - 1) * size : page * size]
        links = {"prev": page - 1, "first": 1} if page > 1 else {}
        links |= {"next": page + 1, "last": last} if page < last else {}
        parts = [
            f'<{self.url}{request.path}?per_page={size}&page={number}>; rel="{name}"'
            for name, number in links.items()
        ]
        jobs = [job.shown(self.repository, self.run_id, self.run_attempt, self.sha) for job in shown]
        body = {"total_count": len(self.jobs), "jobs": jobs}
        return json_answer(body, headers={"Link": ", ".join(parts)} if parts else {})

    def _log(self, number: int) -> Answer:
        job = next((job for job in self.jobs if job.id == number), None)
        if job is None or job.conclusion is None:
            raise RefusedRequestError(404, "Not Found")
        place = f"/actions-results/{secrets.token_hex(16)}/logs/job/job-logs.txt?sig={secrets.token_hex(16)}"
        self._places[place] = number
        return Answer(302, headers={"Location": self._store + place})

    def _stored(self, request: Request) -> Answer:
        if "Authorization" in request.headers:
            raise RefusedRequestError(400, "InvalidAuthenticationInfo: a token was sent to the store of logs")
        number = self._places.get(f"{request.path}?sig={request.query.get('sig', '')}")
        if request.method != "GET" or number is None:
            raise RefusedRequestError(403, "AuthenticationFailed")
        job = next(job for job in self.jobs if job.id == number)
        body = self.logs.get(number, job.text())
        return Answer(200, body, "text/plain; charset=utf-8", {"Cache-Control": "private"})


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return max(1, int(text)) if text.isdecimal() else default


def _refusal(refused: RefusedRequestError) -> object:
    return {
        "message": refused.message,
        "documentation_url": "https://docs.github.com/rest/actions/workflow-jobs",
        "status": str(refused.status),
    }
