"""The shipped init, asked outside an enclave: which `process` files it takes, and whom a USER becomes."""

import platform
import subprocess
from pathlib import Path

import pytest

from glassclave.bootstrap import load_shipped
from glassclave.image.config import Process
from glassclave.ramdisk.process import MAX_SIZE, encode_process

if platform.system() != "Linux" or platform.machine() != "x86_64":
    pytest.skip("the shipped init runs on x86_64 Linux only", allow_module_level=True)

LINE = b"glassclave-process-1\n"
PASSWD = """root:x:0:0:root:/root:/bin/sh
too few fields
app:x:1000:1001::/home/app:/bin/sh
5:x:77:77::/:
bare:x:8:8
"""
GROUP = "root:x:0:\napp:x:1001:\nvideo:x:44:foo,app\nxyz:x:45:app\nother:x:46:apple\n"


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped init as a program."""
    path = tmp_path_factory.mktemp("init") / "init"
    path.write_bytes(load_shipped("x86_64").init)
    path.chmod(0o755)
    return path


def answer(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, (done.stdout + done.stderr).strip().removeprefix("glassclave-init: ")


def check(init: Path, folder: Path, data: bytes) -> tuple[int, str]:
    (folder / "process").write_bytes(data)
    return answer(init, "--check", folder / "process")


def test_what_our_writer_writes_is_taken(init: Path, tmp_path: Path) -> None:
    process = Process(argv=("/app", "", "a\nb"), env=("A=", "B=x=y\n", "É=\udcff"), user="app:44")
    status, said = check(init, tmp_path, encode_process(process))
    assert (status, said) == (0, "3 arguments, 3 settings, directory /, user app:44")


def test_the_largest_file_is_taken_and_one_byte_more_is_not(init: Path, tmp_path: Path) -> None:
    rest = LINE + b"a\0d/\0u0\0"
    largest = LINE + b"a" + b"x" * (MAX_SIZE - len(rest)) + b"\0d/\0u0\0"
    assert len(largest) == MAX_SIZE
    assert check(init, tmp_path, largest)[0] == 0
    more = largest.replace(b"x\0", b"xx\0")
    assert check(init, tmp_path, more) == (1, "/process: byte 1048576: larger than 1 MiB")


@pytest.mark.parametrize(
    ("records", "offset", "reason"),
    [
        (b"", 21, "no argument: nothing to start"),
        (b"d/\0u0\0", 27, "no argument: nothing to start"),
        (b"a\0d/\0u0\0", 21, "the first argument is empty"),
        (b"ax\0u0\0", 27, "no working directory"),
        (b"ax\0d/\0", 27, "no user"),
        (b"ax\0d/\0u\0", 27, "the user is empty"),
        (b"ax\0dtmp\0u0\0", 24, "the working directory is not absolute"),
        (b"ax\0d\0u0\0", 24, "the working directory is not absolute"),
        (b"ax\0eA\0d/\0u0\0", 24, "an environment record is not NAME=VALUE"),
        (b"ax\0e=A\0d/\0u0\0", 24, "an environment record is not NAME=VALUE"),
        (b"ax\0d/\0d/\0u0\0", 27, "record given twice"),
        (b"ax\0d/\0u0\0u0\0", 30, "record given twice"),
        (b"ax\0eA=\0ay\0d/\0u0\0", 28, "record out of order"),
        (b"ax\0d/\0eA=\0u0\0", 27, "record out of order"),
        (b"ax\0u0\0d/\0", 27, "record out of order"),
        (b"ax\0d/\0u0\0\0", 30, "unknown tag"),
        (b"ax\0zx\0d/\0u0\0", 24, "unknown tag"),
        (b"Ax\0d/\0u0\0", 21, "unknown tag"),
        (b"ax\0d/\0u0", 27, "the record has no NUL at its end"),
        (b"ax\0d/\0u0\0a", 30, "the record has no NUL at its end"),
    ],
)
def test_one_fault_is_refused_at_its_byte(
    init: Path, tmp_path: Path, records: bytes, offset: int, reason: str
) -> None:
    assert check(init, tmp_path, LINE + b"ax\0d/\0u0\0")[0] == 0
    assert check(init, tmp_path, LINE + records) == (1, f"/process: byte {offset}: {reason}")


@pytest.mark.parametrize("line", [b"", b"glassclave-process-2\n", b"glassclave-process-1\r\n", LINE[:-1]])
def test_another_first_line_is_refused(init: Path, tmp_path: Path, line: bytes) -> None:
    said = "/process: byte 0: the file does not begin with the line glassclave-process-1"
    assert check(init, tmp_path, line + b"ax\0d/\0u0\0") == (1, said)


def test_what_is_not_a_regular_file_is_refused(init: Path, tmp_path: Path) -> None:
    assert answer(init, "--check", tmp_path) == (1, "/process: Invalid argument")
    assert answer(init, "--check", tmp_path / "none") == (1, "/process: No such file or directory")


ACCOUNTS = [
    ("0", "uid 0 gid 0 groups 0 home /root"),
    ("app", "uid 1000 gid 1001 groups 1001 44 45 home /home/app"),
    ("1000", "uid 1000 gid 1001 groups 1001 44 45 home /home/app"),
    ("app:", "uid 1000 gid 1001 groups 1001 44 45 home /home/app"),
    ("app:video", "uid 1000 gid 44 groups 44 home /home/app"),
    ("app:9", "uid 1000 gid 9 groups 9 home /home/app"),
    (":44", "uid 0 gid 44 groups 44 home /root"),
    ("7", "uid 7 gid 0 groups 0 home /"),
    ("7:video", "uid 7 gid 44 groups 44 home /"),
    ("5", "uid 5 gid 0 groups 0 home /"),  # a number is a number, also where an account has that name
    ("bare", "uid 8 gid 8 groups 8 home /"),
    ("2147483647", "uid 2147483647 gid 0 groups 0 home /"),
]
NO_ACCOUNTS = [
    ("nobody", 'user: "nobody" is not in /etc/passwd'),
    ("app:staff", 'user: group "staff" is not in /etc/group'),
    ("1:2:3", 'user: group "2:3" is not in /etc/group'),
    ("2147483648", 'user: "2147483648" is out of range'),
    ("0:99999999999999999999", 'user: group "99999999999999999999" is out of range'),
    ("-1", 'user: "-1" is not in /etc/passwd'),
    ("ap\x1bp", r'user: "ap\x1bp" is not in /etc/passwd'),
    ("x" * 256, "user: longer than 255 bytes"),
]


@pytest.mark.parametrize(("user", "said"), ACCOUNTS + NO_ACCOUNTS)
def test_user_by_docker_s_rules(init: Path, tmp_path: Path, user: str, said: str) -> None:
    (tmp_path / "passwd").write_text(PASSWD, encoding="utf-8")
    (tmp_path / "group").write_text(GROUP, encoding="utf-8")
    wanted = 0 if said.startswith("uid") else 1
    assert answer(init, "--account", user, tmp_path / "passwd", tmp_path / "group") == (wanted, said)


def test_numbers_need_no_account_files(init: Path, tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert answer(init, "--account", "3:4", none, none) == (0, "uid 3 gid 4 groups 4 home /")
    assert answer(init, "--account", "app", none, none)[0] == 1


def test_other_arguments_explain_themselves(init: Path) -> None:
    status, said = answer(init)
    assert status == 2
    assert "--check FILE" in said
