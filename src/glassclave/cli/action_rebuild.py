"""Steps of our actions ``rebuild`` and ``rebuild/issue``: once a week, and what differs as an issue."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from glassclave.cli.action import login_folder, run_words, step
from glassclave.cli.workflow import announce, append, place, set_output
from glassclave.errors import UsageError
from glassclave.escaping import escape_untrusted
from glassclave.flows.action import GHCR, Inputs
from glassclave.oci.reference import is_tag, parse_reference
from glassclave.policy.model import Policy
from glassclave.streams import read_small_file

REPORT = "rebuild.md"
_LIMIT = 1 << 20
_ISSUES_TOKEN = "GLASSCLAVE_ISSUES_TOKEN"  # noqa: S105 - the name of a variable


@step("rebuild")
def rebuild() -> None:
    """Build the image of the newest tag again, and compare; equal: say so, signed."""
    inputs = Inputs(os.environ)
    reference = parse_reference(inputs.text("reference") or _reference(inputs))
    report = place(REPORT)
    with login_folder(reference.registry) as login:
        said, _ = run_words(_words(inputs, str(reference), report, login))
    found = json.loads(said)
    text = read_small_file(report, limit=_LIMIT)
    append("GITHUB_STEP_SUMMARY", text.decode())
    if found["result"] != "equal":
        announce("warning", found["sentence"], title="rebuild")
    print(escape_untrusted(found["sentence"]))
    set_output("result", found["result"])
    set_output("reference", str(reference))
    set_output("report-path", str(report))
    # Of one line: text with line ends would need a delimiter that nobody can guess.
    set_output("report", base64.b64encode(text).decode("ascii"))


def _reference(inputs: Inputs) -> str:
    """Where our action pushes the image of a tag, or of the branch where there is no tag."""
    from glassclave.clients.git import Git

    version = inputs.text("version")
    if not version:
        workspace = Path(os.environ.get("GITHUB_WORKSPACE", "."))
        tags = [tag for tag in Git(os.environ).newest_tags(workspace) if is_tag(tag)]
        version = tags[0] if tags else os.environ.get("GITHUB_REF_NAME", "").replace("/", "-")
    image = inputs.text("image")
    tag = f"{image}-{version}" if image else version
    if not is_tag(tag):
        raise UsageError("action.input", "the input version is no tag", field=tag[:80])
    return f"{GHCR}/{_repository(inputs).lower()}:{tag}"


def _repository(inputs: Inputs) -> str:
    return inputs.text("repository", os.environ.get("GITHUB_REPOSITORY", ""))


def _words(inputs: Inputs, reference: str, report: Path, login: Path | None) -> list[str]:
    words = ["rebuild", reference, "--json", f"--report={report}"]
    workspace = Path(os.environ.get("GITHUB_WORKSPACE", "."))
    if policy := inputs.text("policy"):
        words.append(f"--policy={workspace / policy}")
    else:
        words.append(f"--repo={_repository(inputs)}")
    given = {name: inputs.text(name) for name in ("signer-workflow", "builder", "folder")}
    words += [f"--{name}={value}" for name, value in given.items() if value]
    if trust := inputs.text("trust-config"):
        words.append(f"--trust-config={workspace / trust}")
    if inputs.flag("sign"):
        words.append("--sign")
    return words if login is None else [*words, f"--login={login}"]


@step("issue")
def issue() -> None:
    """Open an issue with the report of another job, or comment on the one that is open."""
    from glassclave.clients.github import PUBLIC_API
    from glassclave.clients.github_issues import GithubIssues
    from glassclave.flows.issue import decode_report, issue_title, tell

    inputs = Inputs(os.environ)
    token = os.environ.pop(_ISSUES_TOKEN, "")
    if not token:
        raise UsageError("action.input", "the input github-token is empty", field="github-token")
    repository = Policy(repository=_repository(inputs)).repository  # its form, before it is in an address
    reference = parse_reference(inputs.text("reference"))
    title = issue_title(reference, inputs.text("result"))
    body = decode_report(inputs.text("report")) + _run_line(os.environ)
    issues = GithubIssues(os.environ.get("GITHUB_API_URL") or PUBLIC_API, token)
    found, opened = tell(issues, repository, title, body)
    print(f"{'opened' if opened else 'commented on'} {found.url}")
    set_output("issue-number", str(found.number))
    set_output("issue-url", found.url)


def _run_line(environment: Mapping[str, str]) -> str:
    server, run = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_RUN_ID", "")
    repository = environment.get("GITHUB_REPOSITORY", "")
    if not (run.isdecimal() and server.startswith("https://")):
        return ""
    return f"\nFound by [this run]({server}/{repository}/actions/runs/{run}).\n"
