"""The command line in a process of its own.

``child.py SECONDS -- ARGUMENT…`` runs it once, with a network's patience of SECONDS (0: as it is shipped).
``child.py SECONDS`` imports all that `publish` needs, then forks one command line for each line of JSON on
stdin and answers with its exit status: a sweep of thousands of runs does not wait for imports.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def shorten(seconds: float) -> None:
    """Patience that a test can wait for."""
    from glassclave.clients import http, retries

    http.SILENCE_SECONDS = http.HEAD_SECONDS = http.GRACE_SECONDS = seconds
    retries.MOST_FAILING_SECONDS = 5 * seconds


def preload() -> None:
    """What the verbs import when they run."""
    import sigstore.dsse
    import sigstore.oidc
    import sigstore.sign
    import sigstore.verify  # noqa: F401

    import glassclave.cli.publish
    import glassclave.cli.verify
    import glassclave.clients.sigstore_verifier
    import glassclave.flows.publish
    import glassclave.flows.read_back  # noqa: F401


def command_line(arguments: list[str]) -> None:
    """As ``python -m glassclave`` does."""
    from glassclave.cli import main

    main(arguments)


def forked(job: dict[str, Any]) -> int:
    """Exit status, negative for a signal, of one command line with an environment and files of its own."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            for descriptor, name in ((1, job["out"]), (2, job["err"])):
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(file, descriptor)
            os.environ.clear()
            os.environ.update(job["env"])
            signal.alarm(int(job["seconds"]))
            command_line(job["arguments"])
        except SystemExit as stop:
            status = int(stop.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def serve() -> None:
    """One job after the other."""
    preload()
    for line in sys.stdin:
        print(forked(json.loads(line)), flush=True)


if __name__ == "__main__":
    if float(sys.argv[1]):
        shorten(float(sys.argv[1]))
    if sys.argv[2:3] == ["--"]:
        command_line(sys.argv[3:])
    else:
        serve()
