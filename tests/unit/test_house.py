"""The rules that no single room can keep: who imports whom, what git may hold, how long a file may be."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from glassclave.eif.format import Architecture
from glassclave.eif.writer import ImagePlan, write_image
from tests.unit.eif.signing import AT, certificate_of, key_on, key_pem

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "glassclave": ROOT / "src" / "glassclave",
    "sandbox": ROOT / "sandbox" / "src" / "glassclave_sandbox",
}
LONGEST_FILE_LINES = 400

# Written in pieces, so that this file does not hold what it looks for.
REGISTRY_HOSTS = [
    b".".join(labels)
    for labels in (
        (b"pypi", b"org"), (b"pythonhosted", b"org"), (b"crates", b"io"), (b"proxy", b"golang", b"org"),
        (b"sum", b"golang", b"org"), (b"registry", b"npmjs", b"org"), (b"repo1", b"maven", b"org"),
        (b"deb", b"debian", b"org"), (b"security", b"debian", b"org"), (b"snapshot", b"debian", b"org"),
    )
]  # fmt: skip
MACHINE_FOLDERS = [b"/" + name + b"/" for name in (b"work", b"farm", b"root", b"tmp/bash_jobs")]
FORBIDDEN = re.compile(
    b"|".join(
        [
            *map(re.escape, REGISTRY_HOSTS),
            rb"(?<![\w.)}\]*-])(?:" + b"|".join(map(re.escape, MACHINE_FOLDERS)) + rb")",
        ]
    )
)


def tracked_files(*patterns: str) -> list[Path]:
    """Every file that git holds; an unpacked source archive has no git and cannot be asked."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a git clone: what git holds cannot be listed")
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    paths = [ROOT / os.fsdecode(name) for name in listing.split(b"\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says about the tree below ``folder``, without what an earlier run remembers."""
    linter = Path(sys.executable).with_name("lint-imports")
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    return subprocess.run([linter, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True)


def test_import_contracts_hold() -> None:
    finished = lint_imports(ROOT)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("eif/format.py", "import glassclave.policy", "rooms, upper may import lower"),
        ("eif/format.py", "import glassclave.oci", "rooms, upper may import lower"),
        ("eif/format.py", "import glassclave.image", "formats do not know image layers"),
        ("eif/format.py", "import subprocess", "only clients touch the world"),
        ("flows/__init__.py", "import urllib3", "flows reach the world only through clients"),
        ("policy/__init__.py", "import glassclave_sandbox", "a verifier has no forge"),
    ],
)
def test_one_wrong_import_breaks_a_contract(tmp_path: Path, module: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "src" / "glassclave" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    finished = lint_imports(tmp_path)
    assert finished.returncode == 1
    assert re.search(rf"{contract}.* BROKEN", finished.stdout), finished.stdout + finished.stderr


LIST_MODULES = """
import json, sys
from glassclave.cli import main
sys.argv = ["glassclave", *sys.argv[1:]]
try:
    main()
finally:
    print("\\nMODULES " + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_loaded_by(*arguments: str | Path) -> set[str]:
    """The top-level modules in memory after one command that succeeded, in an interpreter of its own."""
    command = [sys.executable, "-c", LIST_MODULES, *arguments]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout.rpartition("MODULES ")[2]))


@pytest.fixture(scope="module")
def small_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An enclave image that holds next to nothing."""
    path = tmp_path_factory.mktemp("house") / "small.eif"
    metadata = json.dumps({"ImageName": "small"}).encode()
    plan = ImagePlan(
        architecture=Architecture.X86_64,
        kernel=[b"kernel"],
        cmdline=b"quiet",
        metadata=metadata,
        ramdisks=[[b"ramdisk"]],
    )
    with path.open("w+b") as file:
        write_image(file, plan)
    return path


OUTSIDE = {"sigstore", "urllib3", "requests", "boto3", "tuf", "glassclave_sandbox"}


@pytest.mark.parametrize(
    "arguments", ["--version", "--help", "describe --help", "sign-eif --help", "attestation --help"]
)
def test_asking_what_there_is_loads_no_network_and_no_sigstore(arguments: str) -> None:
    assert modules_loaded_by(*arguments.split()).isdisjoint(OUTSIDE)


def test_describing_an_image_loads_no_network_and_no_sigstore(small_image: Path) -> None:
    loaded = modules_loaded_by("describe", small_image)
    assert "glassclave" in loaded
    assert loaded.isdisjoint(OUTSIDE)


def test_signing_an_image_loads_no_network_and_no_sigstore(small_image: Path, tmp_path: Path) -> None:
    key = key_on()
    (tmp_path / "key.pem").write_bytes(key_pem(key))
    (tmp_path / "cert.pem").write_bytes(certificate_of(key))
    words: list[str | Path] = [
        "--key",
        tmp_path / "key.pem",
        "--certificate",
        tmp_path / "cert.pem",
        "--at",
        AT.isoformat(),
    ]
    loaded = modules_loaded_by("sign-eif", small_image, "-o", tmp_path / "signed.eif", *words)
    assert "cryptography" in loaded
    assert loaded.isdisjoint(OUTSIDE)


def test_describing_a_document_loads_no_network_and_no_sigstore() -> None:
    document = min((ROOT / "tests" / "vectors" / "attestation").glob("*.bin"))
    loaded = modules_loaded_by("attestation", "describe", document)
    assert "cryptography" in loaded
    assert loaded.isdisjoint(OUTSIDE)


def test_the_module_list_sees_what_is_loaded_late() -> None:
    listing = "import urllib3, json, sys; print(json.dumps(sorted(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert OUTSIDE & set(json.loads(finished.stdout)) == {"urllib3"}


def test_git_holds_no_registry_host_and_no_path_of_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in tracked_files()
        for match in FORBIDDEN.finditer(path.read_bytes())
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [b"https://" + REGISTRY_HOSTS[0], b"cd " + MACHINE_FOLDERS[0] + b"main", b'"' + MACHINE_FOLDERS[2]],
)
def test_the_search_finds_hosts_and_paths(text: bytes) -> None:
    assert FORBIDDEN.search(text)


def test_the_search_passes_paths_inside_images_and_words() -> None:
    assert not FORBIDDEN.search(
        b"/home/runner/work/x rootfs/root/ frame/work/ homework/ root:x:0:0:root:/root:/bin/sh"
    )


def test_no_python_file_is_long() -> None:
    lengths = {path.relative_to(ROOT): path.read_bytes().count(b"\n") for path in tracked_files("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_the_folders_of_unit_tests_mirror_the_rooms() -> None:
    rooms = {path.name for path in SOURCES["glassclave"].iterdir() if (path / "__init__.py").is_file()}
    folders = {
        path.name
        for path in (ROOT / "tests" / "unit").iterdir()
        if any(path.rglob("test_*.py")) and path.is_dir()
    }
    assert folders - rooms <= {"sandbox"}, "a folder of tests without its room"
    assert rooms - folders == set(), "a room without a folder of tests"


def names_in(requirements: list[str]) -> set[str]:
    """The names and bounds of a requirements list, comments and includes left out."""
    lines = (line.split("#")[0].strip() for line in requirements)
    return {line for line in lines if line and not line.startswith("-")}


def test_runtime_requirements_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = (ROOT / "requirements" / "runtime.in").read_text(encoding="utf-8").splitlines()
    assert names_in(listed) == set(project["dependencies"])


@pytest.mark.parametrize("name", ["runtime", "action", "dev", "fuzz", "bootstrap", "release", "bench"])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert pins
    assert [pin for pin in pins if not re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", pin)] == []


SKIPPING_TESTS = """
import pytest
def test_passes(): pass
@pytest.mark.skip(reason="no peer called zot")
def test_needs_a_peer(): pass
@pytest.mark.xfail(strict=True, reason="expected to fail")
def test_fails_as_expected(): assert False
"""
SKIPPING_MODULE = 'import pytest\npytest.skip("the whole module is left out", allow_module_level=True)\n'


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("expected", "exit_status"),
    [
        ("", 1),
        ("interop/test_a.py::test_needs_*  needs a peer\n", 1),
        ("# both\ninterop/test_a.py::test_needs_*  needs a peer\ntest_b.py  left out\n", 0),
    ],
    ids=["none", "one", "both"],
)
def test_an_unexpected_skip_fails_the_run(
    tmp_path: Path, workers: str, expected: str, exit_status: int
) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "interop").mkdir()
    (tmp_path / "interop" / "conftest.py").touch()
    (tmp_path / "interop" / "test_a.py").write_text(SKIPPING_TESTS)
    (tmp_path / "test_b.py").write_text(SKIPPING_MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "expected.txt").write_text(expected)
    command = [sys.executable, "-m", "pytest", "-n", workers, "--expected-skips", "expected.txt"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert finished.returncode == exit_status, finished.stdout + finished.stderr
    assert re.search(r"1 passed, 2 skipped, 1 xfailed", finished.stdout.splitlines()[-1])
    assert ("test_b.py: the whole module is left out" in finished.stdout) == (exit_status == 1)
    assert ("test_needs_a_peer: no peer called zot" in finished.stdout) == (expected == "")
