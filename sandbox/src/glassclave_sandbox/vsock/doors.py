"""Every host socket that is no stream of the guest's yet: listeners, control clients, the heartbeat's end."""

from __future__ import annotations

import socket
from collections.abc import Callable

from glassclave_sandbox.vsock.connection import Answer, Connection
from glassclave_sandbox.vsock.host import (
    CLIENTS_LIMIT,
    LINE_SECONDS,
    ControlClient,
    HostSockets,
    answer_heartbeat,
    is_heartbeat,
)
from glassclave_sandbox.vsock.loop import Loop

Request = Callable[[socket.socket, int, Answer], None]
"""Asks the guest for a stream to a port, for a socket that the callee takes over."""


class Doors:
    """Belongs to the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        hosts: HostSockets,
        *,
        request: Request,
        now: Callable[[], float],
        on_heartbeat: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._hosts = hosts
        self._request = request
        self._now = now
        self._on_heartbeat = on_heartbeat
        self._heartbeats: set[socket.socket] = set()
        self._clients: set[ControlClient] = set()
        self._listeners: list[socket.socket] = []

    # The guest calls

    def open(self, cid: int, port: int) -> socket.socket | None:
        """A socket connected to whoever serves ``cid:port``: the heartbeat ourselves, the rest by path."""
        return self._open_heartbeat() if is_heartbeat(cid, port) else self._hosts.open(cid, port)

    def _open_heartbeat(self) -> socket.socket | None:
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:  # no descriptors left
            return None
        self._heartbeats.add(ours)
        self._loop.watch_edge(ours.fileno(), lambda _events: self._look_at_heartbeat(ours))
        return theirs

    def _look_at_heartbeat(self, sock: socket.socket) -> None:
        if answer_heartbeat(sock, self._on_heartbeat):
            self._loop.unwatch(sock.fileno())
            self._heartbeats.discard(sock)
            sock.close()

    # Host programs call

    def serve_control(self, listener: socket.socket) -> None:
        """Clients of ``listener`` send a ``CONNECT <port>`` line."""
        self._watch_listener(listener, self._add_client)

    def forward(self, listener: socket.socket, guest_port: int) -> None:
        """Clients of ``listener`` reach ``guest_port``."""
        self._watch_listener(listener, lambda sock: self._request(sock, guest_port, _answer_by_closing))

    def _watch_listener(self, listener: socket.socket, accept: Callable[[socket.socket], None]) -> None:
        def on_events(_events: int) -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:  # none left to accept, or no descriptors: the next client wakes us again
                    return
                sock.setblocking(False)
                accept(sock)

        self._listeners.append(listener)
        self._loop.watch_edge(listener.fileno(), on_events)

    def _add_client(self, sock: socket.socket) -> None:
        if len(self._clients) >= CLIENTS_LIMIT:
            sock.close()
            return
        client = ControlClient(sock, self._now() + LINE_SECONDS)
        self._clients.add(client)
        self._loop.watch_edge(sock.fileno(), lambda _events: self._look_at_client(client))

    def _look_at_client(self, client: ControlClient) -> None:
        try:
            port = client.read_port()
        except ValueError:
            self._drop_client(client)
            return
        if port is not None:
            self._clients.discard(client)
            self._loop.unwatch(client.sock.fileno())
            self._request(client.sock, port, _answer_with_line)

    def _drop_client(self, client: ControlClient) -> None:
        self._clients.discard(client)
        self._loop.unwatch(client.sock.fileno())
        client.sock.close()

    # Time and end

    @property
    def has_deadlines(self) -> bool:
        """Whether `expire` has something to look at."""
        return bool(self._clients)

    def expire(self) -> None:
        """Drop control clients that never said what they want."""
        if self._clients:
            now = self._now()
            for client in [client for client in self._clients if client.deadline <= now]:
                self._drop_client(client)

    def close(self) -> None:
        """Close all of them."""
        for client in list(self._clients):
            self._drop_client(client)
        for sock in (*self._heartbeats, *self._listeners):
            sock.close()


def _answer_by_closing(connection: Connection, accepted: bool) -> None:
    if not accepted:
        connection.sock.close()


def _answer_with_line(connection: Connection, accepted: bool) -> None:
    if not accepted:
        connection.sock.close()
        return
    try:
        connection.sock.send(b"OK %d\n" % connection.key.host_port, socket.MSG_NOSIGNAL)
    except OSError:
        return  # the client left; the switch notices when it reads
