"""A network of one's own, for servers that insist on listening on every interface."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

HOST = "127.0.0.1"
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x41


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts from now on, has nothing but a loopback that nobody else is on.

    Afterwards the thread is back in the machine's network.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as before:
        if libc.unshare(_CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno())
            pytest.skip(f"a network of its own is needed, and cannot be had: {reason}")
        try:
            raise_loopback()
            yield
        finally:
            if libc.setns(before.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot return to the machine's network")


def raise_loopback() -> None:
    """Switch on the loopback of a new network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def listens(port: int) -> Callable[[], bool]:
    """Asks whether somebody takes connections on that port."""

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    return ready


def answers(url: str) -> Callable[[], bool]:
    """Asks whether the address answers with success."""

    def ready() -> bool:
        try:
            fetch(url)
        except OSError:
            return False
        return True

    return ready


def fetch(url: str) -> bytes:
    """What is found there, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as response:
        return bytes(response.read())
