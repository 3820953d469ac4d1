"""Process of the image: gunicorn on loopback, and a bridge to it from the enclave's only door, vsock."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

PORT = 8080


def copy(source: socket.socket, target: socket.socket) -> None:
    """Bytes until the end, then the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def serve(outside: socket.socket) -> None:
    """One connection, in both directions; closed unanswered while gunicorn does not listen yet."""
    with outside:
        try:
            inside = socket.create_connection(("127.0.0.1", PORT))
        except ConnectionRefusedError:
            return
        with inside:
            back = threading.Thread(target=copy, args=(inside, outside))
            back.start()
            copy(outside, inside)
            back.join()


def accept(listener: socket.socket) -> None:
    """Every connection, for ever."""
    while True:
        outside, _ = listener.accept()
        threading.Thread(target=serve, args=(outside,), daemon=True).start()


def main() -> int:
    """Says the nonce on the console, then serves until the server ends."""
    print("nonce", Path("/nonce").read_text(encoding="ascii"), flush=True)
    gunicorn = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{PORT}", "--timeout", "120"]
    # Its control socket lies in HOME: in /tmp it does not change the root that the tests look at.
    server = subprocess.Popen([*gunicorn, "service:app"], cwd="/srv", env=os.environ | {"HOME": "/tmp"})
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    with socket.socket(socket.AF_VSOCK) as listener:
        listener.bind((socket.VMADDR_CID_ANY, PORT))
        listener.listen(16)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
