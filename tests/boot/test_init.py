"""The shipped kernel and init in QEMU: what an application finds, and what init says when it cannot go on."""

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from glassclave_sandbox.qemu import MEBIBYTE, Parent, command_line
from glassclave_sandbox.vsock.device import Device, pair
from tests.boot.enclave import (
    DIRECTORY,
    SECONDS,
    File,
    boot,
    messages,
    qemu,
    run,
    shell,
    small_root,
    write_enclave,
)

pytestmark = pytest.mark.boot

FACTS = r"""
busybox --install -s /bin
fact() { printf 'fact %s=' "$1"; shift; "$@" 2>&1 | tr '\n' '~'; echo; }
fact id id
fact directory pwd
fact home sh -c 'echo $HOME'
fact lines sh -c 'echo "$TWO_LINES"'
fact lo sh -c 'ip -o addr show lo | grep -o "inet6\? [^ ]*"'
fact lo-flags sh -c 'ip -o link show lo | grep -o "<.*>"'
fact tmp stat -c '%a %U' /tmp
printf '#!/bin/sh\necho ran\n' > /tmp/program; chmod +x /tmp/program
fact tmp-runs /tmp/program
fact controllers cat /sys/fs/cgroup/cgroup.controllers
fact mounts sh -c "cut -d' ' -f2,3 /proc/mounts"
fact nsm stat -c '%F %a' /dev/nsm
fact links sh -c 'readlink /dev/fd; readlink /dev/stdin; readlink /dev/stdout; readlink /dev/stderr'
fact tty tty
fact hosts cat /etc/hosts
fact name hostname
fact session sh -c 'cut -d" " -f6 /proc/$PPID/stat; echo $PPID'
fact files sh -c 'ulimit -n; ulimit -Hn'
fact port80 cat /proc/sys/net/ipv4/ip_unprivileged_port_start
fact tun stat -c '%F' /dev/net/tun
fact user-namespace unshare -U -r id -u
cd /tmp; mkdir low up work over; echo below > low/file
mount -t overlay -o lowerdir=low,upperdir=up,workdir=work over over
fact overlay cat over/file
cd /sys/fs/cgroup; mkdir part; echo '+memory +pids' > cgroup.subtree_control; echo 3 > part/pids.max
fact limited cat part/pids.max
fact random cat /sys/class/misc/hw_random/rng_current
sh -c 'sh -c "sleep 0.2; exit 3" & exec true'
sleep 1
fact zombies sh -c 'grep -l "^State:.Z" /proc/[0-9]*/status'
exit 7
"""


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The console of one boot that prints facts."""
    return boot(tmp_path_factory.mktemp("facts"), shell(FACTS, working_directory="/srv/made/here"))


@pytest.fixture(scope="module")
def facts(console: str) -> dict[str, str]:
    """Facts by name; lines of one fact are joined by ``~``."""
    lines = [line[5:] for line in console.splitlines() if line.startswith("fact ")]
    assert lines, console
    return {name: value.strip("~") for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "uid=0(root) gid=0(root) groups=0(root)"),
        ("directory", "/srv/made/here"),
        ("home", "/root"),
        ("lines", "one~two"),
        ("lo", "inet 127.0.0.1/8~inet6 ::1/128"),
        ("lo-flags", "<LOOPBACK,UP,LOWER_UP>"),
        ("tmp", "1777 root"),
        ("tmp-runs", "ran"),
        ("controllers", "cpuset cpu memory pids"),
        ("nsm", "character special file 666"),
        ("links", "/proc/self/fd~/proc/self/fd/0~/proc/self/fd/1~/proc/self/fd/2"),
        ("tty", "/dev/console"),
        ("hosts", "127.0.0.1 localhost~::1 localhost"),
        ("name", "localhost"),
        ("files", "65536~1048576"),
        ("port80", "0"),
        ("tun", "character special file"),
        ("user-namespace", "0"),
        ("overlay", "below"),
        ("limited", "3"),
        ("random", "nsm-hwrng"),
        ("zombies", ""),
    ],
)
def test_an_application_finds(facts: dict[str, str], name: str, value: str) -> None:
    assert facts[name] == value


def test_file_systems_are_mounted(facts: dict[str, str]) -> None:
    assert {
        "/ rootfs",
        "/dev devtmpfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/dev/mqueue mqueue",
        "/proc proc",
        "/run tmpfs",
        "/sys sysfs",
        "/sys/fs/cgroup cgroup2",
        "/tmp tmpfs",
    } == set(facts["mounts"].split("~"))


def test_the_process_leads_a_session_of_its_own(facts: dict[str, str]) -> None:
    session, process = facts["session"].split("~")
    assert session == process != "1"


def test_the_exit_status_is_the_only_message_of_a_good_run(console: str) -> None:
    assert messages(console) == ["process exited with status 7"]


WHO = 'busybox id; pwd; echo "home $HOME"; echo again > /dev/stdout; busybox stat -c %u /dev/console'


def test_user_by_name_gets_groups_home_and_console(tmp_path: Path) -> None:
    lines = boot(tmp_path, shell(WHO, user="app", working_directory="/bin")).splitlines()
    start = lines.index("uid=1000(app) gid=1001(app) groups=44(video),1001(app)")
    assert lines[start + 1 : start + 5] == ["/bin", "home /home/app", "again", "1000"]


def test_user_and_group_by_number_need_no_account(tmp_path: Path) -> None:
    lines = boot(tmp_path, shell(WHO, user="4321:44")).splitlines()
    start = lines.index("uid=4321 gid=44(video) groups=44(video)")
    assert lines[start + 1 : start + 3] == ["/", "home /"]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody", 'user: "nobody" is not in /etc/passwd'),
        ("app:staff", 'user: group "staff" is not in /etc/group'),
    ],
)
def test_unknown_users_and_groups_are_fatal(tmp_path: Path, user: str, message: str) -> None:
    assert messages(boot(tmp_path, shell("echo never", user=user))) == [message, "fatal: nothing is started"]


def test_a_signal_is_named(tmp_path: Path) -> None:
    assert messages(boot(tmp_path, shell("kill -KILL $$"))) == ["process killed by signal 9 (KILL)"]


def test_what_the_image_has_in_run_and_tmp_stays(tmp_path: Path) -> None:
    root = small_root() | {"run": DIRECTORY, "run/app": DIRECTORY, "tmp": DIRECTORY, "tmp/seed": File(b"42")}
    console = boot(tmp_path, shell("echo $(busybox cat /tmp/seed) $(busybox ls /run) $(echo /*)"), root)
    assert "42 app /bin /dev /etc /proc /run /sys /tmp" in console.splitlines()


@pytest.mark.parametrize(
    ("process", "said"),
    [
        (shell("echo never")[:-1], "/process: byte 74: the record has no NUL at its end"),
        (None, "/process: No such file or directory"),
    ],
    ids=["cut", "missing"],
)
def test_a_bad_process_file_starts_nothing(tmp_path: Path, process: bytes | None, said: str) -> None:
    assert messages(boot(tmp_path, process)) == [said, "fatal: nothing is started"]


def test_a_missing_program_is_named_with_escapes(tmp_path: Path) -> None:
    process = b"glassclave-process-1\nano-such-\x1b[31m\0ePATH=/bin\0d/\0u0\0"
    assert messages(boot(tmp_path, process)) == [
        r"fatal: cannot start no-such-\x1b[31m: not found in PATH=/bin",
        "process exited with status 127",
    ]


def test_a_script_without_its_interpreter_says_so(tmp_path: Path) -> None:
    root = small_root() | {"bin/script": File(b"#!/no/interpreter\n")}
    process = b"glassclave-process-1\nascript\0ePATH=/sbin:/bin\0d/\0u0\0"
    assert messages(boot(tmp_path, process, root)) == [
        "fatal: cannot start /bin/script: No such file or directory: its interpreter or loader is missing",
        "process exited with status 127",
    ]


def test_an_image_without_root_directory_is_refused(tmp_path: Path) -> None:
    console = run(qemu(), write_enclave(tmp_path / "test.eif", shell("echo never"), None))
    assert messages(console) == ["fatal: /rootfs: No such file or directory"]


class WrongParent(Device):
    """A parent instance that answers the heartbeat with ``answer``, or not at all."""

    answer: bytes | None = None

    def open_host(self, cid: int, port: int) -> socket.socket | None:
        """See `Device`."""
        if self.answer is None:
            return None
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        threading.Thread(target=self._reply, args=(ours,), daemon=True).start()
        return theirs

    def _reply(self, ours: socket.socket) -> None:
        with ours:
            ours.recv(1)
            ours.sendall(self.answer or b"")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "fatal: heartbeat: connect to vsock 3:9000: Connection reset by peer"),
        (b"", "fatal: heartbeat: no answer: connection closed"),
        (b"\x00", "fatal: heartbeat: answered 0x00 instead of 0xb7"),
    ],
)
def test_a_failed_heartbeat_ends_the_enclave(tmp_path: Path, answer: bytes | None, said: str) -> None:
    image = write_enclave(tmp_path / "test.eif", shell("echo never"), small_root())
    ours, theirs = pair()
    device = WrongParent(ours, guest_cid=16)
    device.answer = answer
    device.start()
    arguments = command_line(
        qemu(), image, memory=256 * MEBIBYTE, vsock_fd=theirs, parent=Parent(), identity="heartbeat"
    )
    try:
        done = subprocess.run(
            arguments,
            pass_fds=[theirs],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(theirs)
        device.close()
    assert messages(done.stdout.decode("utf-8", "replace")) == [said]
