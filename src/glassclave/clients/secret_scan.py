"""Secrets in a text, looked for by Kingfisher (MongoDB, Apache-2.0) with the rules that it ships.

Run without network (no validation of finds, no update check), without a cache, and with every comment that
would silence it ignored. What it prints holds the secrets themselves: only line numbers and names of rules
leave this file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from glassclave.buildlog.record import Scan
from glassclave.errors import ParseError, UnavailableError
from glassclave.fields import Fields, parse_json

_FINDINGS = frozenset({0, 200, 205})
"""Exit statuses that come with a report: nothing found, something found, something found to be valid."""
_MAX_REPORT = 16 << 20
_SECONDS = 600
_MAX_FOUND = 100_000
_WORDS = (
    "scan", "--no-validate", "--no-update-check", "--no-rule-cache", "--no-ignore", "--git-history=none",
    "--no-dedup", "--no-extract-archives", "--max-file-size=0", "--confidence=medium", "--redact",
    "--format=json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """Line from 1, and what kind of secret the rule calls it."""

    line: int
    kind: str


class SecretScanner:
    """Kingfisher, from the distribution ``kingfisher-bin`` (`glassclave[log]`) or as ``kingfisher`` in PATH.

    Raises `UnavailableError` ``log.detector.missing``.
    """

    def __init__(self) -> None:
        self._program = _program()

    def scan(self, text: bytes) -> tuple[Scan, tuple[FoundSecret, ...]]:
        """Who looked, and what was found, by line.

        Raises `UnavailableError` ``log.detector.failed`` unless the whole text was looked through.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.txt"
            path.touch(mode=0o600)
            path.write_bytes(text)
            # A configuration or a proxy of the machine has no say in what is found.
            environment = {"HOME": folder, "PATH": os.defpath, "LANG": "C.UTF-8", "TMPDIR": folder}
            status, report = _report([self._program, *_WORDS, str(path)], folder, environment)
        if status not in _FINDINGS:
            raise _failed(f"ends with status {status}")
        try:
            return _read(report, len(text))
        except ParseError as error:
            raise _failed(f"says what cannot be read: {error}") from error


def _report(words: list[str], folder: str, environment: dict[str, str]) -> tuple[int, bytes]:
    """Exit status and what was printed, no more than `_MAX_REPORT`: a log can be full of secrets."""
    try:
        with subprocess.Popen(
            words,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as running:
            clock = threading.Timer(_SECONDS, running.kill)
            clock.start()
            try:
                assert running.stdout is not None  # noqa: S101 - a pipe was asked for
                report = running.stdout.read(_MAX_REPORT + 1)
                if len(report) > _MAX_REPORT:
                    raise _failed("finds more than is read: the log is full of secrets")
                return running.wait(), report
            finally:
                running.kill()
                clock.cancel()
    except OSError as error:
        raise _failed("cannot be run") from error


def _program() -> str:
    spec = importlib.util.find_spec("kingfisher")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / "bin" / "kingfisher"
        if path.is_file():
            if not path.stat().st_mode & stat.S_IXUSR:  # pip keeps no such bit of what is no script
                path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            return str(path)
    found = shutil.which("kingfisher")
    if found is None:
        raise UnavailableError(
            "log.detector.missing",
            "nothing is there that looks for secrets, and no log is kept without that",
            hint="pip install 'glassclave[log]' (Kingfisher)",
        )
    return found


def _failed(message: str) -> UnavailableError:
    return UnavailableError("log.detector.failed", f"the search for secrets {message}", source="kingfisher")


def _read(report: bytes, size: int) -> tuple[Scan, tuple[FoundSecret, ...]]:
    """The report, from its first line: fails unless it says that all ``size`` bytes were looked through."""
    first = report.partition(b"\n")[0]
    fields = Fields.of(parse_json(first, source="kingfisher", limit=_MAX_REPORT), source="kingfisher")
    metadata = fields.child("metadata")
    summary, audit = metadata.child("summary"), fields.child("audit").child("summary")
    whole = (
        summary.integer("bytes_scanned") == size
        and audit.integer("scan_succeeded") == 1
        and not audit.integer("scan_partial") + audit.integer("scan_failed") + audit.integer("pending")
    )
    if not whole:
        raise _failed(f"did not see the whole text ({summary.integer('bytes_scanned')} of {size} bytes)")
    scan = Scan(
        detector="kingfisher",
        version=metadata.text("kingfisher_version", limit=64),
        rules=summary.integer("rules_applied", least=1),
    )
    found = {
        FoundSecret(one.child("finding").integer("line"), one.child("rule").text("name", limit=200))
        for one in fields.objects("findings", limit=_MAX_FOUND)
    }
    return scan, tuple(sorted(found, key=lambda one: (one.line, one.kind)))
