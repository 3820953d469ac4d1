"""Guests that speak vsock: this machine's Python, its libraries and one script, in an enclave image."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glassclave.image.config import Process
from glassclave.image.tree import Kind
from glassclave.ramdisk.process import encode_process
from tests.boot.enclave import DIRECTORY, File, qemu, write_enclave

WriteGuest = Callable[[str], Path]

_LOADED = """
import sys, array, fcntl, hashlib, socket, struct, threading, time, encodings.ascii, encodings.latin_1, json
assert hasattr(socket, "AF_VSOCK")
files = [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)]
print(json.dumps([sys.base_prefix, sys.base_exec_prefix, files]))
"""

PRELUDE = """
import array, fcntl, hashlib, os, socket, struct, sys, threading, time
def connect(port, cid=3):
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect((cid, port))
    return sock
def listen(port):
    sock = socket.socket(socket.AF_VSOCK)
    sock.bind((socket.VMADDR_CID_ANY, port))
    sock.listen(64)
    return sock
def read_all(sock):
    return b"".join(iter(lambda: sock.recv(65536), b""))
def cbor_bytes(data):
    return b"\\xf6" if data is None else b"\\x59" + struct.pack(">H", len(data)) + data
def attest(nonce, user_data=None):
    # {"Attestation": {"user_data", "nonce", "public_key"}} through the ioctl of /dev/nsm (nsm-api, "driver")
    request = array.array("B", b"\\xa1\\x6bAttestation\\xa3\\x69user_data" + cbor_bytes(user_data)
        + b"\\x65nonce" + cbor_bytes(nonce) + b"\\x6apublic_key\\xf6")
    response = array.array("B", bytes(0x3000))
    message = bytearray(struct.pack("QQQQ", request.buffer_info()[0], len(request),
        response.buffer_info()[0], len(response)))
    with open("/dev/nsm", "r+b", buffering=0) as nsm:
        fcntl.ioctl(nsm, 0xC0200A00, message)
    return response.tobytes()[:struct.unpack("QQQQ", message)[3]]
"""


@pytest.fixture(name="qemu", scope="session")
def _qemu() -> Path:
    """QEMU with the nitro-enclave machine, or the test is skipped with the reason."""
    return qemu()


def _libraries(programs: list[str]) -> set[str]:
    """Shared libraries and the loader that these files need."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    return {
        word
        for line in said.splitlines()
        for word in line.split()
        if word.startswith("/") and word[-1] != ":"
    }


@pytest.fixture(scope="session")
def python_root() -> dict[str, File]:
    """A root directory with Python and the few modules that guests use; skipped where it cannot be had."""
    program = str(Path(sys.executable).resolve())
    loaded = subprocess.run([program, "-I", "-S", "-c", _LOADED], capture_output=True, text=True, check=False)
    if loaded.returncode != 0:
        pytest.skip(f"{program} has no AF_VSOCK for a guest to use")
    prefix, exec_prefix, modules = json.loads(loaded.stdout)
    extensions = [path for path in modules if ".so" in Path(path).name]
    files = {path: path for path in _libraries([program, *extensions])} | {"/bin/python": program}
    for path in modules:
        home = prefix if Path(path).is_relative_to(prefix) else exec_prefix
        files[f"/python/{Path(path).relative_to(home)}"] = path
    root = {inside[1:]: File(Path(outside).read_bytes()) for inside, outside in files.items()}
    parents = {str(parent) for name in root for parent in Path(name).parents if parent != Path()}
    return root | dict.fromkeys(parents, DIRECTORY)


@pytest.fixture
def write_guest(python_root: dict[str, File], tmp_path: Path) -> WriteGuest:
    """Writes an image whose process is a Python script, with `PRELUDE` before it."""
    process = encode_process(
        Process(argv=("/bin/python", "-S", "-s", "-B", "-u", "/app.py"), env=("PYTHONHOME=/python",))
    )

    def write(script: str) -> Path:
        app = File((PRELUDE + script).encode(), Kind.FILE.value | 0o644)
        return write_enclave(tmp_path / "guest.eif", process, python_root | {"app.py": app})

    return write
