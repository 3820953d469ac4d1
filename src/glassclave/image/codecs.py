"""How layers are compressed, and their decoders. Every piece that a decoder gives is of bounded size.

Decoding is exact whatever the library, so a fast one is used (gzip: RFC 1952 by ISA-L; zstd: RFC 8878).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import IO, cast

from isal import igzip_lib
from zstandard import ZstdDecompressor, ZstdError

from glassclave.streams import CHUNK_SIZE

MAX_WINDOW = 1 << 27
"""Bytes a zstd frame may make a decoder hold: 128 MiB, as `zstd -d` accepts without being told otherwise."""

# The library's stubs call this class an instance.
_ISAL_ERROR: type[Exception] = vars(igzip_lib)["IsalError"]
_SKIPPABLE = b"\x2a\x4d\x18"

Buffer = bytes | memoryview


class Codec(Enum):
    """How bytes are stored."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


class CodecError(Exception):
    """Compressed bytes are not what they should be: a code below ``image.layer`` and words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def codec_of(head: bytes) -> Codec:
    """What the first bytes (six suffice) say: container tools go by them, whatever the media type."""
    if head.startswith(b"\x1f\x8b"):
        return Codec.GZIP
    # zstd:chunked and others may begin with a skippable frame (RFC 8878 §3.1.2).
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50):
        return Codec.ZSTD
    if head.startswith(b"BZh"):
        return Codec.BZIP2
    if head.startswith(b"\xfd7zXZ\0"):
        return Codec.XZ
    return Codec.PLAIN


def decoded(codec: Codec, pieces: Iterator[Buffer]) -> Iterator[Buffer]:
    """The decoded bytes of ``pieces``, in pieces of at most `CHUNK_SIZE`. Raises `CodecError`."""
    if codec is Codec.PLAIN:
        return pieces
    if codec is Codec.GZIP:
        return _gunzip(pieces)
    if codec is Codec.ZSTD:
        return _unzstd(pieces)
    raise CodecError("encoding", f"is compressed with {codec.value}, which this tool does not read")


def _gunzip(pieces: Iterator[Buffer]) -> Iterator[bytes]:
    """All members (RFC 1952 §2.2), each with its checksum; zero bytes behind the last are padding."""
    data: Buffer = next(pieces, b"")
    while data:
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not member.eof:
            if member.needs_input and not data:
                data = next(pieces, b"")
                if not data:
                    raise CodecError("truncated", "its compressed data end early")
            try:
                piece = member.decompress(data, CHUNK_SIZE)
            except _ISAL_ERROR as error:
                raise CodecError("encoding", "cannot be decoded: damaged gzip data") from error
            data = b""
            if piece:
                yield piece
        data = _behind_padding(member.unused_data, pieces)


def _behind_padding(data: bytes, pieces: Iterator[Buffer]) -> bytes:
    while not (data := data.lstrip(b"\0")):
        piece = next(pieces, None)
        if piece is None:
            break
        data = bytes(piece)
    return data


class _Readable:
    """Pieces behind the ``read`` that the zstd library asks for."""

    def __init__(self, pieces: Iterator[Buffer]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever its size: the decoder keeps what it does not use yet."""
        return bytes(next(self._pieces, b""))


def _unzstd(pieces: Iterator[Buffer]) -> Iterator[bytes]:
    """All frames. One that is cut short ends quietly here: the layer's diffID finds that."""
    # The stubs know only whole file objects.
    source = cast("IO[bytes]", _Readable(pieces))
    decoder = ZstdDecompressor(max_window_size=MAX_WINDOW)
    reader = decoder.stream_reader(source, read_across_frames=True)
    while True:
        try:
            piece = reader.read(CHUNK_SIZE)
        except ZstdError as error:
            raise CodecError(
                "encoding", "cannot be decoded: damaged zstd data, or too wide a window"
            ) from error
        if not piece:
            return
        yield piece
