"""What holds after every fault, whatever it was."""

from __future__ import annotations

import json

from tests.faults.world import Done, Round

NOT_TYPED = frozenset({"internal", "system.failed", "usage", ""})


def broken_promises(one: Round, done: Done, *, seconds: float) -> list[str]:
    """One line for each promise that a run of `publish`, or of `verify` after it, did not keep."""
    return [*broken_to_readers(one, done, seconds=seconds), *_tag(one)]


def broken_to_readers(one: Round, done: Done, *, seconds: float) -> list[str]:
    """The same, of a run in a repository where somebody left an unsigned image under the tag."""
    wrong = [*_answer(done), *_secrets(one, done)]
    if done.seconds > seconds:
        wrong.append(f"took {done.seconds:.0f} s, at most {seconds:.0f} are promised")
    return wrong


def _answer(done: Done) -> list[str]:
    wrong = []
    if done.status not in (0, 1, 2, 3):
        wrong.append(f"exit status {done.status}")
    if "Traceback" in done.stderr or "Traceback" in done.stdout:
        wrong.append("a traceback")
    try:
        document = json.loads(done.stdout)
    except ValueError:
        return [*wrong, f"stdout is not one JSON document: {done.stdout[:200]!r} {done.stderr[-300:]!r}"]
    if "error" in document:
        if done.code in NOT_TYPED:
            wrong.append(f"no typed error: {document['error']}")
    elif done.status not in (0, 1) or (done.status == 1 and "checks" not in document):
        wrong.append(f"status {done.status} and no error")
    if "error" in document and done.status == 0:
        wrong.append("an error with status 0")
    return wrong


def _secrets(one: Round, done: Done) -> list[str]:
    told = done.stdout + done.stderr
    wrong = [f"a secret is told: {secret[:12]}…" for secret in one.secrets() if secret in told]
    lured = [
        f"a login went elsewhere, with {asked.method} {asked.path[:60]}"
        for asked in one.thief.requests
        if "authorization" in asked.headers or any(s.encode() in asked.body for s in one.secrets())
    ]
    return [*wrong, *lured]


def _tag(one: Round) -> list[str]:
    named = one.tag()
    if named in (None, one.world.old) or one.is_signed(str(named)):
        return []
    return [f"the tag names {named}, which nobody signed"]
