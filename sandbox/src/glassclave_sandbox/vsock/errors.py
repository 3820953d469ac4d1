"""What can be wrong with the two parties that the device does not trust."""

from __future__ import annotations

from glassclave.errors import ParseError


class FrontEndError(ParseError):
    """QEMU's side of the vhost-user connection broke the protocol: the device ends. ``vhost-user.*``."""


class GuestError(ParseError):
    """The guest put something impossible on a ring. That ring stops; codes ``vsock.ring.*``."""
