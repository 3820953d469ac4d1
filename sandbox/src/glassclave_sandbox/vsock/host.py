"""The host's side: where guest connections go, and how host programs reach the guest."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from glassclave_sandbox.vsock.packet import PARENT_CID, PORT_ANY

HEARTBEAT_PORT = 9000
HEARTBEAT_BYTE = b"\xb7"
BACKLOG = 128
"""For listeners that guests connect to: a full backlog refuses, it does not wait."""
LINE_LIMIT = 64
LINE_SECONDS = 5.0
CLIENTS_LIMIT = 64
"""Control clients that have not sent their line yet."""

_CONNECT_LINE = re.compile(rb"CONNECT ([0-9]{1,10})\r?\n")


def parse_connect_line(line: bytes) -> int | None:
    """Guest port of a ``CONNECT <port>`` line with its newline; ``None`` if it is none."""
    match = _CONNECT_LINE.fullmatch(line)
    if match is None:
        return None
    port = int(match[1])
    return port if port < PORT_ANY else None


def listen_unix(path: Path) -> socket.socket:
    """A non-blocking listener on a new Unix socket that only this user may connect to."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind(str(path))
        os.chmod(path, 0o600)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


class HostSockets:
    """Where a guest's connection to ``cid:port`` goes: a named socket, else ``{directory}/{cid}_{port}``."""

    def __init__(self, directory: Path | None, named: Mapping[tuple[int, int], Path]) -> None:
        self._directory = directory
        self._named = dict(named)

    def path(self, cid: int, port: int) -> Path | None:
        """The Unix socket for ``cid:port``, or ``None``."""
        named = self._named.get((cid, port))
        if named is not None:
            return named
        return None if self._directory is None else self._directory / f"{cid}_{port}"

    def open(self, cid: int, port: int) -> socket.socket | None:
        """A connected non-blocking socket, or ``None``: nobody listens, or too many wait already."""
        path = self.path(cid, port)
        if path is None:
            return None
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:  # no descriptors left
            return None
        try:
            sock.connect(str(path))  # completes at once on Unix sockets; EAGAIN is a full backlog
        except OSError:
            sock.close()
            return None
        return sock


class ControlClient:
    """A host program that said, or is about to say, which guest port it wants.

    The line is looked at before it is taken: what comes after it stays in the socket for the guest.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline

    def read_port(self) -> int | None:
        """The port once the line is whole, else ``None``. `ValueError` if it is wrong or the client left."""
        try:
            head = self.sock.recv(LINE_LIMIT, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ValueError("client left") from error
        end = head.find(b"\n")
        if end < 0:
            # A client that sent half a line and closed is ended by the deadline at the latest.
            if not head or len(head) == LINE_LIMIT:
                raise ValueError("not a line")
            return None
        port = parse_connect_line(self.sock.recv(end + 1))
        if port is None:
            raise ValueError("not a CONNECT line")
        return port


def is_heartbeat(cid: int, port: int) -> bool:
    """Whether this is where an enclave's init sends its heartbeat."""
    return (cid, port) == (PARENT_CID, HEARTBEAT_PORT)


def answer_heartbeat(sock: socket.socket, on_heartbeat: Callable[[], None]) -> bool:
    """The parent's part: byte 0xB7 comes, and goes back. ``True`` when the connection is finished."""
    try:
        data = sock.recv(1)
        if data == HEARTBEAT_BYTE:
            sock.send(data, socket.MSG_NOSIGNAL)
            on_heartbeat()
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
