"""What GitHub's REST API says of a run: its jobs, and the log of each that has ended.

Shapes: GitHub REST API, "Workflow jobs" (version 2022-11-28). The log of a job can be had as soon as that job
is over, while the run still goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote

from glassclave.buildlog.collect import RunJob, RunStep
from glassclave.buildlog.record import MAX_NAME, MAX_STEPS
from glassclave.buildlog.text import MAX_TEXT
from glassclave.clients.http import Reply, Web, refuse_outage
from glassclave.clients.retries import TransientError, retrying
from glassclave.errors import LimitError, ParseError, UnavailableError
from glassclave.fields import Fields, parse_json

PUBLIC_API = "https://api.github.com"
_VERSION = "2022-11-28"
_MAX_ANSWER = 8 << 20
_PER_PAGE = 100
_MAX_LISTED = 1000
"""Jobs of a run: more than a record may name, so that some can be chosen."""
_PAUSE_SECONDS = 10.0
"""A log appears some seconds after its job's end."""


class GithubApi:
    """Reads runs. ``token``: a job's, with `actions: read`; sent to ``address`` only, never shown."""

    def __init__(
        self,
        token: str,
        *,
        address: str = PUBLIC_API,
        web: Web | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._address = address.rstrip("/")
        self._token = token
        self._web = web or Web()
        self._sleep = sleep

    def list_jobs(self, repository: str, run_id: int, attempt: int) -> tuple[RunJob, ...]:
        """The jobs of one attempt of a run, in the API's order, without their logs.

        Raises `UnavailableError` ``github.*``, `ParseError` ``field.*``, `LimitError` ``github.jobs``.
        """
        jobs: dict[int, RunJob] = {}
        page = 1
        while True:
            path = f"repos/{quote(repository)}/actions/runs/{run_id}/attempts/{attempt}/jobs"
            data = self._get(f"{path}?per_page={_PER_PAGE}&page={page}", _MAX_ANSWER)
            fields = Fields.of(
                parse_json(data, source="GitHub's answer", limit=_MAX_ANSWER), source="GitHub's answer"
            )
            before, total = len(jobs), fields.integer("total_count")
            # A job that moved to the next page while we read comes twice.
            jobs |= dict(_job(job) for job in fields.objects("jobs", limit=_PER_PAGE))
            if max(total, len(jobs)) > _MAX_LISTED:
                raise LimitError("github.jobs", f"has more than {_MAX_LISTED} jobs", source=repository)
            if len(jobs) >= total:
                return tuple(jobs.values())
            if len(jobs) == before:
                raise UnavailableError(
                    "github.answer", f"lists {before} of {total} jobs", source=repository, hint="try again"
                )
            page += 1

    def fetch_log(self, repository: str, job_id: int) -> bytes:
        """The log of a job that has ended. `UnavailableError` ``github.*``, `LimitError` ``github.size``."""
        return self._get(f"repos/{quote(repository)}/actions/jobs/{job_id}/logs", MAX_TEXT, patient=True)

    def _get(self, path: str, limit: int, *, patient: bool = False) -> bytes:
        def once() -> bytes:
            with (
                _named(),
                self._web.send("GET", f"{self._address}/{path}", self._headers(), follow=True) as reply,
            ):
                refuse_outage(reply)
                _refuse(reply, patient=patient)
                return reply.body(limit)

        return retrying(once, self._sleep)

    def _headers(self) -> Mapping[str, str]:
        return {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "User-Agent": "glassclave",
            "X-GitHub-Api-Version": _VERSION,
        }


@contextmanager
def _named() -> Iterator[None]:
    """The connection's errors under this service's name: what they say of a registry is said of GitHub."""
    try:
        yield
    except UnavailableError as error:
        error.code = error.code.replace("registry.", "github.", 1)
        error.message = error.message.replace("the registry", "GitHub", 1)
        if error.code == "github.rate-limited":
            error.hint = "wait, then run this job again"
        raise
    except LimitError as error:
        error.code = error.code.replace("registry.", "github.", 1)
        raise


def _refuse(reply: Reply, *, patient: bool) -> None:
    if reply.status == 200:
        return
    source = reply.target.shown
    if reply.status in (401, 403):
        raise UnavailableError(
            "github.forbidden",
            f"answers {reply.status}: the token may not read runs",
            source=source,
            hint="give the job `permissions` with actions: read, and the step its token: GITHUB_TOKEN",
        )
    if reply.status == 404 and patient:
        late = TransientError(
            "github.not-found",
            "has no log of this job: it has not ended, or the log was deleted",
            source=source,
            hint="collect it in a job that `needs` this one",
        )
        late.wait = _PAUSE_SECONDS
        raise late
    if reply.status == 404:
        raise UnavailableError(
            "github.not-found",
            "knows no such run or attempt",
            source=source,
            hint="check --repo, --run and --attempt; of a private repository the token must be able to read",
        )
    raise UnavailableError("github.answer", f"answers {reply.status}", source=source)


def _job(fields: Fields) -> tuple[int, RunJob]:
    number = fields.integer("id", least=1)
    steps = fields.objects("steps", limit=MAX_STEPS) if fields.has("steps") else ()
    return number, RunJob(
        name=fields.text("name", limit=MAX_NAME),
        job_id=number,
        conclusion=_ended(fields),
        steps=tuple(sorted((_step(step) for step in steps), key=lambda step: step.number)),
        runner=fields.optional_text("runner_name", limit=1024),
    )


def _ended(fields: Fields) -> str | None:
    """The conclusion of what has ended; ``None`` while it goes on."""
    if fields.text("status") != "completed":
        return None
    conclusion = fields.optional_text("conclusion", limit=MAX_NAME)
    if conclusion is None:
        raise ParseError("github.answer", "has ended without a conclusion", field=fields.at("conclusion"))
    return conclusion


def _step(fields: Fields) -> RunStep:
    return RunStep(
        number=fields.integer("number"),
        name=fields.text("name", limit=MAX_NAME),
        conclusion=_ended(fields),
        started_at=fields.optional_text("started_at", limit=64),
    )
