"""The same command once more, in surroundings that differ in everything that should not matter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from glassclave.errors import UnavailableError

SURROUNDINGS: Mapping[str, str] = {
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "LANG": "C",
    "PYTHONHASHSEED": "4711",
    "PYTHONUTF8": "0",
}
UMASK = 0o077
# In the child: one processor, then the program. A launcher, as code between fork and exec must not run here.
_LAUNCHER = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
os.execv(sys.argv[1], sys.argv[1:])
"""


def differing_surroundings() -> str:
    """What is different for the second run, in words."""
    return "later, time zone, locale, hash seed, umask, one processor, other folders"


def run_again(arguments: Sequence[str], *, environment: Mapping[str, str]) -> None:
    """Run ``glassclave`` with ``arguments`` in `SURROUNDINGS`, on one processor.

    Raises `UnavailableError` ``build.twice.failed`` with what it said where it did not succeed.
    """
    program = [sys.executable, "-m", "glassclave", *arguments]
    command = program if not hasattr(os, "sched_setaffinity") else [sys.executable, "-c", _LAUNCHER, *program]
    done = subprocess.run(
        command,
        env={**environment, **SURROUNDINGS},
        umask=UMASK,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise UnavailableError(
            "build.twice.failed",
            "the second build did not succeed where the first did",
            hint=done.stderr.strip()[-800:] or None,
        )
