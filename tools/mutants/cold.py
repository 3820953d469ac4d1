"""A change of a module's own code: the module is imported with it, and tests run, in a fresh process."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.mutants.patch import import_changed
from tools.mutants.session import run_test, with_tests


def main(request_file: str) -> None:
    """Answers beside the request. A module that cannot be imported, or tests that cannot be collected with
    it, have killed the change as well."""
    request = json.loads(Path(request_file).read_text("utf-8"))
    killed = {"by": "import"}
    wanted: list[str] = request["tests"]

    def work(items: Sequence[pytest.Item]) -> None:
        by_id = {item.nodeid: item for item in items}
        chosen = [by_id[nodeid] for nodeid in wanted if nodeid in by_id]
        killed["by"] = first_failure(chosen) or ""

    import_changed(Path(request["path"]), Path(request["package"]), request["mutant"])
    try:
        with_tests(sorted({nodeid.partition("::")[0] for nodeid in wanted}), work)
    finally:
        Path(request_file).with_name("answer.json").write_text(json.dumps(killed), "utf-8")


def first_failure(items: Sequence[pytest.Item]) -> str | None:
    """The first test that fails; ``None`` where all pass."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        if not run_test(item, following):
            return item.nodeid
    return None


if __name__ == "__main__":
    main(sys.argv[1])
