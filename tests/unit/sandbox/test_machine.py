"""The machine around QEMU, tried with a program that behaves as QEMU does, or fails as QEMU can."""

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glassclave.errors import GlassclaveError, UnavailableError
from glassclave_sandbox.console import LINE_LIMIT, Console
from glassclave_sandbox.machine import Machine, Options
from glassclave_sandbox.qemu import MEBIBYTE, Parent, command_line, default_memory, find_qemu
from glassclave_sandbox.vsock.events import Event, EventKind

ROOT = Path(__file__).resolve().parents[3]

# What it does is written in the "image" that it is given.
PROGRAM = f"""#!{sys.executable}
import os, signal, socket, sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.unit.sandbox.fake_guest import FakeGuest
from glassclave_sandbox.vsock.packet import Op
arguments = {{name: value for name, value in zip(sys.argv[1:], sys.argv[2:]) if name.startswith("-")}}
fd = int(arguments["-chardev"].rpartition("=")[2])
behaviour = open(arguments["-kernel"]).read()
print("booting", behaviour, end="\\r\\n", flush=True)
match behaviour:
    case "unsupported":
        sys.exit("qemu: unsupported machine type 'nitro-enclave'")
    case "crash":
        print("qemu: \\x1b[2Jno\\ngood", file=sys.stderr)
        sys.exit(1)
guest = FakeGuest(socket.socket(fileno=fd))
guest.realize()
if behaviour == "broken":
    guest.send(99)
    time.sleep(60)
guest.start()
guest.post()
if behaviour == "no-heartbeat":
    print("init: no parent", flush=True)
    sys.exit(0)
guest.packet(Op.REQUEST, dst_port=9000)
guest.expect(Op.RESPONSE)
guest.packet(Op.RW, b"\\xb7", dst_port=9000)
guest.expect(Op.SHUTDOWN)
if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if behaviour in ("stay", "stubborn"):
    print("staying", flush=True)
    time.sleep(60)
print("bye", flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "qemu"
    path.write_text(PROGRAM, encoding="utf-8")
    path.chmod(0o755)
    return path


def image(tmp_path: Path, behaviour: str) -> Path:
    """The "image" for a behaviour."""
    path = tmp_path / "image.eif"
    path.write_text(behaviour, encoding="ascii")
    return path


def test_run_to_the_end(program: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    events: list[Event] = []
    with Machine(
        image(tmp_path, "good"), qemu=program, on_line=lines.append, on_event=events.append
    ) as machine:
        directory = machine.directory
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        machine.wait_for_heartbeat(30)
        assert machine.wait(30)
        assert machine.ended
        assert machine.console == "booting good\nbye\n"
    assert lines == ["booting good", "bye"]
    assert EventKind.HEARTBEAT in [event.kind for event in events]
    assert not directory.exists()


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("unsupported", "sandbox.qemu.no-nitro-enclave", "no nitro-enclave machine"),
        ("crash", "sandbox.qemu.failed", r"said: qemu: \u{1b}[2Jno good"),
        ("broken", "sandbox.vsock", "message 99 is not known"),
        ("no-heartbeat", "sandbox.heartbeat", "ended without a heartbeat"),
    ],
)
def test_why_there_was_no_heartbeat(
    program: Path, tmp_path: Path, behaviour: str, code: str, words: str
) -> None:
    with Machine(image(tmp_path, behaviour), qemu=program) as machine:
        with pytest.raises(UnavailableError) as caught:
            machine.wait_for_heartbeat(30)
        assert machine.ended
    assert caught.value.code == code
    assert words in caught.value.message
    if behaviour == "no-heartbeat":
        assert caught.value.hint == "last console line: init: no parent"


@pytest.mark.parametrize("behaviour", ["stay", "stubborn"])
def test_leaving_ends_the_program(program: Path, tmp_path: Path, behaviour: str) -> None:
    with Machine(image(tmp_path, behaviour), qemu=program) as machine:
        assert machine.wait_for_line("staying", timeout=30)
        pid = machine.pid
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_program_dies_with_its_parent(program: Path, tmp_path: Path) -> None:
    """Also when the parent is killed, and nothing of ours can run any more."""
    script = f"""
import sys, time
from pathlib import Path
from glassclave_sandbox.machine import Machine
with Machine(Path({str(image(tmp_path, "stay"))!r}), qemu=Path({str(program)!r})) as machine:
    machine.wait_for_heartbeat(30)
    print(machine.pid, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    deadline = time.monotonic() + 5
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(pid)


def running(pid: int) -> bool:
    """Whether the process does anything still; an orphan that nobody reaps does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


def test_an_exception_inside_leaves_nothing(program: Path, tmp_path: Path) -> None:
    threads = len(os.listdir("/proc/self/task"))
    with pytest.raises(KeyboardInterrupt), Machine(image(tmp_path, "stay"), qemu=program) as machine:
        pid, directory = machine.pid, machine.directory
        raise KeyboardInterrupt
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not directory.exists()
    deadline = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/task")) <= threads


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (Options(cid=3), "sandbox.cid"),
        (Options(memory=1), "sandbox.memory"),
        (Options(parent=Parent(role="")), "sandbox.option"),
        (Options(sockets=Path("/nonexistent")), "sandbox.socket"),
        (Options(forward=[(Path("/nonexistent/a"), 1)]), "sandbox.socket"),
        (Options(forward=[(Path("/tmp") / ("a" * 200), 1)]), "sandbox.socket"),
    ],
)
def test_impossible_options(program: Path, tmp_path: Path, options: Options, code: str) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with (
        pytest.raises(GlassclaveError) as caught,
        Machine(image(tmp_path, "good"), qemu=program, options=options),
    ):
        pass
    assert caught.value.code == code
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_missing_image_and_missing_program(program: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught, Machine(tmp_path / "no.eif", qemu=program):
        pass
    assert caught.value.code == "file.unreadable"
    with pytest.raises(UnavailableError) as caught, Machine(image(tmp_path, "good"), qemu=tmp_path / "no"):
        pass
    assert caught.value.code == "sandbox.qemu.missing"


def test_where_qemu_is_found(program: Path, tmp_path: Path) -> None:
    on_path = tmp_path / "bin"
    on_path.mkdir()
    (on_path / "qemu-system-x86_64").symlink_to(program)
    assert find_qemu({"PATH": str(on_path)}) == on_path / "qemu-system-x86_64"
    assert find_qemu({"PATH": str(on_path), "GLASSCLAVE_QEMU": str(program)}) == program
    for environ in ({"PATH": str(tmp_path / "empty")}, {"GLASSCLAVE_QEMU": str(tmp_path / "no")}):
        with pytest.raises(UnavailableError) as caught:
            find_qemu(environ)
        assert caught.value.code == "sandbox.qemu.missing"
        assert "GLASSCLAVE_QEMU" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("image_size", "mebibytes"),
    [(0, 256), (64 * MEBIBYTE, 256), (64 * MEBIBYTE + 1, 257), (413_900_000, 1579)],
)
def test_default_memory_is_four_times_the_image(image_size: int, mebibytes: int) -> None:
    assert default_memory(image_size) == mebibytes * MEBIBYTE


def test_command_line_doubles_commas() -> None:
    arguments = command_line(
        Path("qemu"), Path("a,b.eif"), memory=MEBIBYTE, vsock_fd=7, parent=Parent(role="a,b=c"), identity="x"
    )
    assert "nitro-enclave,vsock=vsock,id=x,parent-role=a,,b=c,parent-id=i-05a4db0c5a4db0c50" in arguments
    assert "-no-reboot" in arguments
    assert arguments[arguments.index("-kernel") + 1] == "a,b.eif"
    assert arguments[-1] == "socket,id=vsock,fd=7"


def run(program: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    """`glassclave-sandbox run` with these words."""
    environ = {name: value for name, value in os.environ.items() if name != "GLASSCLAVE_QEMU"}
    if program is not None:
        environ["GLASSCLAVE_QEMU"] = str(program)
    return subprocess.run(
        [sys.executable, "-m", "glassclave_sandbox", "run", *words],
        env=environ | {"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_command_reports_the_heartbeat(program: Path, tmp_path: Path) -> None:
    done = run(program, str(image(tmp_path, "good")))
    assert (done.returncode, done.stdout) == (0, "booting good\nbye\n")
    names = [line.split()[0] for line in done.stderr.splitlines()]
    assert names == ["started", "guest-started", "heartbeat", "ended"]


def test_command_without_heartbeat_is_3(program: Path, tmp_path: Path) -> None:
    done = run(program, str(image(tmp_path, "no-heartbeat")))
    assert (done.returncode, done.stdout) == (3, "booting no-heartbeat\ninit: no parent\n")
    assert done.stderr.splitlines()[-3:] == [
        "error: the enclave ended without a heartbeat",
        "  last console line: init: no parent",
        "  sandbox.heartbeat",
    ]


def test_command_without_qemu_says_what_to_do(tmp_path: Path) -> None:
    done = run(None, str(image(tmp_path, "good")))
    assert done.returncode == 3
    assert done.stderr.startswith("error: QEMU was not found\n  it must be QEMU 9.2 or later")


def test_command_timeout(program: Path, tmp_path: Path) -> None:
    done = run(program, str(image(tmp_path, "stay")), "--timeout", "2")
    assert done.returncode == 0
    assert re.match(r"ended +by --timeout 2 ", done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "words",
    [
        ["--forward", "8080"], ["--forward", "/tmp/a:-1"], ["--forward", "/tmp/a:4294967295"],
        ["--listen", "3:5000"], ["--listen", "5000=/tmp/a"], ["--listen", "x:5000=/tmp/a"],
        ["--memory", "0"], ["--cid", "3"], ["--timeout", "-1"],
    ],
)  # fmt: skip
def test_command_usage_is_2(program: Path, tmp_path: Path, words: list[str]) -> None:
    done = run(program, str(image(tmp_path, "good")), *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_console_cuts_and_keeps_any_bytes() -> None:
    read_end, write_end = os.pipe()
    lines: list[str] = []
    console = Console(read_end, name="test", on_line=lines.append)
    console.start()
    os.write(write_end, b"a" * (LINE_LIMIT + 3) + b"\n\n\xff\xfe\r\nlast")
    os.close(write_end)
    assert console.join(5)
    assert lines == ["a" * LINE_LIMIT, "aaa", "", "\\xff\\xfe", "last"]
    assert not console.wait_for("never", timeout=5)
