"""What is missing from an image is said when it is built, not by the enclave that ends at once."""

from __future__ import annotations

import pytest

from glassclave.image.config import Process
from glassclave.image.program import program_problem
from glassclave.image.tree import FileTree, Kind, Node


def file(mode: int = 0o755) -> Node:
    return Node(kind=Kind.FILE, mode=mode)


def link(target: str) -> Node:
    return Node(kind=Kind.SYMLINK, mode=0o777, target=target.encode())


FOLDER = Node(kind=Kind.DIRECTORY, mode=0o755)
TREE = FileTree(
    {
        b"bin": link("usr/bin"),
        b"usr": FOLDER,
        b"usr/bin": FOLDER,
        b"usr/bin/app": file(),
        b"usr/bin/data": file(0o644),
        b"usr/bin/sh": link("/bin/app"),
        b"usr/bin/up": link("../../usr/../usr/bin/app"),
        b"usr/bin/loop": link("loop"),
        b"usr/bin/gone": link("/nowhere"),
        b"usr/local": FOLDER,
        b"usr/local/data": file(0o644),
        b"srv": FOLDER,
        b"srv/run": file(),
    }
)


@pytest.mark.parametrize(
    ("program", "path", "problem"),
    [
        ("/usr/bin/app", "", None),
        ("/bin/app", "", None),
        ("//bin/./sh", "", None),
        ("/usr/bin/up", "", None),
        ("./run", "", None),
        ("../bin/app", "", None),
        ("app", "/nowhere:/bin", None),
        ("data", "/usr/local:/bin", "is not executable"),
        ("app", "/srv", "is in no directory of PATH (/srv)"),
        ("app", "bin", "is in no directory of PATH (bin)"),
        ("/usr/bin/nope", "", "is not in the image"),
        ("/usr/bin/data", "", "is not executable"),
        ("/usr/bin/gone", "", "is not in the image"),
        ("/usr/bin/loop", "", "is not in the image"),
        ("/usr/bin", "", "is no file but a directory"),
        ("/usr/bin/app/x", "", "is not in the image"),
        ("/run/made-at-start", "", None),
        ("/proc/self/exe", "", None),
    ],
)
def test_programs(program: str, path: str, problem: str | None) -> None:
    process = Process(argv=(program,), env=(f"PATH={path}",), working_directory="/srv")
    assert program_problem(TREE, process) == problem
