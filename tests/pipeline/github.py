"""What our actions ask of GitHub: a repository over HTTPS, and its issues, as documented.

Issues: GitHub REST API 2022-11-28, "List repository issues", "Create an issue", "Create an issue comment".
The repository is served by git's own ``http-backend``.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

HOST = "github.com"
BOT = "github-actions[bot]"


class _Server:
    def __init__(self, address: tuple[str, int], certificate: Path | None) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_arguments: object) -> None:
                """Nothing."""

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, data = outer.answer(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _serve  # noqa: N815 - the library's names

        self._server = ThreadingHTTPServer(address, Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_arguments: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError


class Repositories(_Server):
    """github.com on 127.0.0.2: ``root/OWNER/NAME`` are the repositories. Nobody logs in."""

    def __init__(self, root: Path, certificate: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.logins: list[str] = []
        super().__init__(("127.0.0.2", 443), certificate)

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(path)
        self.asked.append(f"{method} {path}")
        self.logins += [headers["Authorization"]] if "Authorization" in headers else []
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": method, "PATH_INFO": url.path, "QUERY_STRING": url.query,
            "CONTENT_TYPE": headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1",
        }  # fmt: skip
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        )
        head, _, data = done.stdout.partition(b"\r\n\r\n")
        said = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(said.pop("Status", "200").split()[0]), said, data


@dataclass
class IssueBook:
    """The issues of one repository. ``token``: the one that may write.

    ``status``: answers with that instead; ``listed``: gives that as the list.
    """

    repository: str
    token: str = ""
    status: int | None = None
    listed: Any = None
    issues: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def add(self, title: str, *, body: str = "", **more: Any) -> dict[str, Any]:
        number = len(self.issues) + 1
        issue = {
            "number": number, "title": title, "body": body, "state": "open", "comments": [],
            "user": {"login": BOT}, "html_url": f"https://{HOST}/{self.repository}/issues/{number}", **more,
        }  # fmt: skip
        self.issues.append(issue)
        return issue


class IssuesApi(_Server):
    """``api.github.com`` on loopback. ``allowed``: which tokens may write, instead of the book's one."""

    def __init__(self, book: IssueBook, allowed: Callable[[str], bool] | None = None) -> None:
        self.book = book
        self._allowed = allowed or (lambda token: token == book.token)
        super().__init__(("127.0.0.1", 0), None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        self.book.requests.append(f"{method} {path}")
        status, said = self._answer(method, path, headers, body)
        return status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(said).encode()

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        book, url = self.book, urlsplit(path)
        if book.status is not None:
            return book.status, {"message": "no"}
        if not self._allowed(headers.get("Authorization", "").removeprefix("Bearer ")):
            return 401, {"message": "Bad credentials"}
        base = f"/repos/{book.repository}/issues"
        if url.path == base and method == "GET":
            if book.listed is not None:
                return 200, book.listed
            return 200, self._listed({name: values[0] for name, values in parse_qs(url.query).items()})
        document = json.loads(body) if body else {}
        if url.path == base and method == "POST":
            issue = book.add(document["title"], body=document["body"])
            return 201, issue
        for issue in book.issues:
            if url.path == f"{base}/{issue['number']}/comments" and method == "POST":
                issue["comments"].append(document["body"])
                return 201, {"id": 1, "body": document["body"]}
        return 404, {"message": "Not Found"}

    def _listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        found = [
            issue
            for issue in self.book.issues
            if issue["state"] == query.get("state", "open")
            and query.get("creator", issue["user"]["login"]) == issue["user"]["login"]
        ]
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        return found[size * (page - 1) : size * page]
