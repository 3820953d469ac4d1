"""Issues of a repository on GitHub: the open one with a title, a new one, a comment.

GitHub REST API 2022-11-28: "List repository issues", "Create an issue", "Create an issue comment".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from urllib.parse import quote

from glassclave import __version__
from glassclave.clients.http import Reply, Web, refuse_outage
from glassclave.clients.retries import retrying
from glassclave.errors import ParseError, UnavailableError
from glassclave.escaping import escape_untrusted
from glassclave.fields import Fields, parse_json
from glassclave.results import Issue

CREATOR = "github-actions[bot]"
"""Who opens issues with a job's token."""
PER_PAGE = 100
MAX_PAGES = 10
_MAX_ANSWER = 16 << 20
_LOST = {
    401: "the token is not taken",
    403: "the token may not write issues",
    404: "there is no such repository, or the token may not see it",
    410: "the repository has issues turned off",
}


class GithubIssues:
    """Asks the API at ``api`` (``https://api.github.com``) with a token that may write issues.

    Every method raises `UnavailableError` ``github.issues`` where GitHub refuses, and ``registry.*`` where it
    cannot be reached (one client for all HTTP). No token and no text of GitHub's stands in an error.
    """

    def __init__(
        self,
        api: str,
        token: str,
        *,
        web: Web | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api.rstrip("/")
        self._web = web or Web()
        self._sleep = sleep
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "User-Agent": f"glassclave/{__version__}",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def find_open(self, repository: str, title: str) -> Issue | None:
        """The oldest open issue of `CREATOR` with exactly this title; pull requests are none."""
        query = f"state=open&creator={quote(CREATOR, safe='')}&sort=created&direction=asc&per_page={PER_PAGE}"
        for page in range(1, MAX_PAGES + 1):
            items = self._list(f"/repos/{repository}/issues?{query}&page={page}")
            for fields in items:
                if fields.text("title") == title and not fields.has("pull_request"):
                    return _issue(fields)
            if len(items) < PER_PAGE:
                return None
        raise UnavailableError(
            "github.issues", f"more than {PER_PAGE * MAX_PAGES:,} open issues are ours", source=repository
        )

    def create(self, repository: str, title: str, body: str) -> Issue:
        """A new issue."""
        return _issue(self._post(f"/repos/{repository}/issues", {"title": title, "body": body}))

    def comment(self, repository: str, issue: Issue, body: str) -> None:
        """A comment on an issue."""
        self._post(f"/repos/{repository}/issues/{issue.number}/comments", {"body": body})

    def _list(self, path: str) -> list[Fields]:
        def ask() -> bytes:
            with self._web.send("GET", self._api + path, self._headers) as reply:
                refuse_outage(reply)
                return _body(reply, 200)

        data = retrying(ask, self._sleep)
        found = parse_json(data, source="GitHub", limit=_MAX_ANSWER)
        if not isinstance(found, list):
            raise ParseError("field.type", "must be an array", field="(top)", source="GitHub")
        return [Fields.of(one, path=f"[{index}]", source="GitHub") for index, one in enumerate(found)]

    def _post(self, path: str, document: dict[str, str]) -> Fields:
        """Sent once: GitHub does not say whether a request that broke off was taken."""
        headers = self._headers | {"Content-Type": "application/json"}
        data = json.dumps(document).encode("ascii")
        with self._web.send("POST", self._api + path, headers, body=data) as reply:
            return Fields.of(
                parse_json(_body(reply, 201), source="GitHub", limit=_MAX_ANSWER), source="GitHub"
            )


def _body(reply: Reply, wanted: int) -> bytes:
    if reply.status != wanted:
        raise UnavailableError(
            "github.issues",
            f"answers {reply.status}: {_LOST.get(reply.status, 'the issue is not written')}",
            source=reply.target.shown,
            hint="the job needs the permission issues: write, and the repository needs issues",
        )
    return reply.body(_MAX_ANSWER)


def _issue(fields: Fields) -> Issue:
    return Issue(fields.integer("number", least=1), escape_untrusted(fields.text("html_url"), limit=300))
