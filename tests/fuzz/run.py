"""Fuzzes one target, guided by coverage: ``python -m tests.fuzz.run TARGET SECONDS FOLDER`` (`make soak`).

Begins with the kept corpus, keeps what it finds in FOLDER, and ends with status 1 at the first find, whose
input it leaves there as ``crash-…``, ``timeout-…`` or ``oom-…``. Needs atheris (requirements/fuzz.txt).
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["glassclave"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
ONE_RUN_SECONDS = 20
MEMORY_MB = 1024
LONGEST = 65536


def main(target: str, seconds: int, folder: Path) -> None:
    """Run until the time is over, or something is found."""
    found = folder / target
    found.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={ONE_RUN_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={found.parent}/{target}-",
        "-print_final_stats=1",
        "-close_fd_mask=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(found), str(CORPUS / target)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
