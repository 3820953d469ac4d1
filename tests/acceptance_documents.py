"""Every collected document on the command line: genuine ones pass, hostile ones never.

    python tests/acceptance_documents.py FOLDER

FOLDER holds `index.json` and the documents, `hostile/index.json` and theirs. Imports nothing of ours.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

PCR = "01" * 48
"""Where the index names none: nobody's."""


def verify(document: Path, entry: dict[str, Any], *more: str) -> tuple[int, str]:
    """Exit status, and everything that was said."""
    pcrs = [f"--pcr={index}={entry.get(f'pcr{index}') or PCR}" for index in range(3)]
    command = ["glassclave", "attestation", "verify", str(document), *pcrs, "--historical", "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def genuine(folder: Path) -> Counter[str]:
    """Production documents 0; debug ones 1, and NitroTPM's 1 or 3, each by its name."""
    seen: Counter[str] = Counter()
    for entry in json.loads((folder / "index.json").read_bytes())["documents"]:
        kind = "debug" if entry["debug"] else entry["kind"]
        # Expected PCRs of zero are refused as a question: a debug document is asked about somebody's.
        asked = {} if entry["debug"] else entry
        status, said = verify(folder / entry["file"], asked)
        word = {"enclave": "", "debug": "attestation.debug-mode", "nitrotpm": "NitroTPM"}[kind]
        if status not in {"enclave": {0}, "debug": {1}, "nitrotpm": {1, 3}}[kind] or word not in said:
            sys.exit(f"{entry['file']}: status {status}\n{said}")
        seen[kind] += 1
    return seen


def hostile(folder: Path) -> int:
    """All that must be rejected: 1 or 3, with the root and the time that they were made for."""
    count = 0
    for entry in json.loads((folder / "index.json").read_bytes())["vectors"]:
        if entry["expect"] != "reject":
            continue
        root = {"aws-g1": None, "mock": "mock/root.pem"}.get(entry["trust_root"], entry["trust_root"])
        trusted = () if root is None else ("--attestation-root", str(folder / root))
        status, said = verify(folder / entry["file"], entry, *trusted, "--at", entry["verify_at"])
        if status not in (1, 3) or "Traceback" in said:
            sys.exit(f"{entry['file']}: status {status}\n{said}")
        count += 1
    return count


if __name__ == "__main__":
    here = Path(sys.argv[1])
    kinds = genuine(here)
    print(
        f"documents: {kinds['enclave']} of production 0, {kinds['debug']} of debug mode 1,"
        f" {kinds['nitrotpm']} of NitroTPM refused by name, {hostile(here / 'hostile')} hostile ones 1 or 3"
    )
