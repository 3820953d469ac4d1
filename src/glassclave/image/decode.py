"""Compressed layers decoded once, into an unlinked file, with both digests checked on the way."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard
from isal import igzip_lib, isal_zlib

from glassclave.errors import LimitError, ParseError, UnavailableError
from glassclave.streams import CHUNK_SIZE

DEFAULT_LIMIT = 64 << 30
"""Bytes that one layer may decode to."""

# The library's stubs call this class an instance.
_ISAL_ERROR: type[Exception] = vars(igzip_lib)["IsalError"]
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW_BITS = 31
_ZSTD_WINDOW = 1 << 27
"""128 MiB: what `zstd -d` accepts without being told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBlob:
    """A layer as it is stored. ``chunks`` gives its bytes once; ``digest`` and ``diff_id`` are ``sha256:…``
    (``digest`` is ``None`` where the container format has none); ``size`` is in bytes; ``plain`` gives the
    stored bytes mapped, as they are."""

    name: str
    chunks: Callable[[], Iterable[bytes | memoryview]]
    size: int
    diff_id: str
    digest: str | None
    plain: Callable[[], memoryview]


def map_layer(blob: LayerBlob, *, directory: Path | None = None, limit: int = DEFAULT_LIMIT) -> memoryview:
    """The layer's tar: where it lies if it is not compressed, else decoded into a spool file; checked."""
    data = blob.plain()
    if is_plain(bytes(data[:4])):
        _verify_plain(blob)
        return data
    return decode_layer(blob, directory=directory, limit=limit)


def decode_layer(blob: LayerBlob, *, directory: Path | None = None, limit: int = DEFAULT_LIMIT) -> memoryview:
    """The layer's tar, mapped read-only; the file behind it has no name and goes with the mapping.

    Raises `ParseError` ``image.layer.digest``, ``image.layer.size``, ``image.layer.truncated``,
    ``image.layer.encoding``; `LimitError` ``image.layer.limit``; `UnavailableError` ``image.spool.full``.
    """
    compressed = hashlib.sha256()
    plain = hashlib.sha256()
    size = 0
    try:
        with tempfile.TemporaryFile(dir=directory) as spool:
            for piece in _decoded(blob, compressed.update):
                size += len(piece)
                if size > limit:
                    raise LimitError(
                        "image.layer.limit", f"decodes to more than {limit:,} bytes", source=blob.name
                    )
                plain.update(piece)
                spool.write(piece)
            spool.flush()
            _check(blob, "sha256:" + compressed.hexdigest(), "sha256:" + plain.hexdigest())
            if size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(spool.fileno(), size, access=mmap.ACCESS_READ))
    except OSError as error:
        raise UnavailableError(
            "image.spool.full",
            f"the decoded layer cannot be kept: {error.strerror}",
            source=blob.name,
            hint="set TMPDIR to a folder with more room",
        ) from error


def is_plain(head: bytes) -> bool:
    """Whether a layer that begins so is not compressed."""
    return not head.startswith((_GZIP, _ZSTD))


def _verify_plain(blob: LayerBlob) -> None:
    """Check the digests of a layer that is not compressed and is read in place."""
    digest = hashlib.sha256()
    for _ in _counted(blob, digest.update):
        pass
    found = "sha256:" + digest.hexdigest()
    _check(blob, found, found)


def _check(blob: LayerBlob, digest: str, diff_id: str) -> None:
    for code, wanted, found in (
        ("image.layer.digest", blob.digest, digest),
        ("image.layer.diff-id", blob.diff_id, diff_id),
    ):
        if wanted is not None and wanted != found:
            raise ParseError(
                code,
                f"is not what its manifest says: expected {wanted}, got {found}",
                source=blob.name,
                hint="the image was changed or is incomplete: export it again (skopeo copy … oci:out)",
            )


def _counted(blob: LayerBlob, update: Callable[[bytes | memoryview], None]) -> Iterator[bytes | memoryview]:
    size = 0
    for chunk in blob.chunks():
        size += len(chunk)
        update(chunk)
        yield chunk
    if size != blob.size:
        raise ParseError(
            "image.layer.size", f"has {size:,} bytes, its manifest says {blob.size:,}", source=blob.name
        )


def _decoded(blob: LayerBlob, update: Callable[[bytes | memoryview], None]) -> Iterator[bytes | memoryview]:
    chunks = _counted(blob, update)
    head = next(chunks, b"")
    first = bytes(head[:4])
    pieces = _rejoin(head, chunks)
    try:
        if first.startswith(_GZIP):
            yield from _gunzip(pieces, blob.name)
        elif first == _ZSTD:
            yield from _unzstd(pieces, blob.name)
        else:
            yield from pieces
    except (_ISAL_ERROR, zstandard.ZstdError) as error:
        raise ParseError("image.layer.encoding", f"cannot be decoded: {error}", source=blob.name) from error


def _rejoin(head: bytes | memoryview, rest: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    yield head
    yield from rest


def _gunzip(pieces: Iterator[bytes | memoryview], name: str) -> Iterator[bytes]:
    """All members; zero bytes behind the last are padding, anything else is an error."""
    decoder = isal_zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
    for piece in pieces:
        data = bytes(piece)
        while data:
            if decoder.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = isal_zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
            out = decoder.decompress(data, CHUNK_SIZE)
            if out:
                yield out
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    if not decoder.eof:
        raise ParseError("image.layer.truncated", "its compressed data end early", source=name)


def _unzstd(pieces: Iterator[bytes | memoryview], name: str) -> Iterator[bytes]:
    """All frames, streamed."""
    # The decoder reads from anything with read(); its stubs know only whole file objects.
    reader = cast("IO[bytes]", _Pieces(pieces))
    stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
        reader, read_across_frames=True
    )
    while piece := stream.read(CHUNK_SIZE):
        yield piece


class _Pieces:
    """The pieces as a file to read from, as the decoder wants it."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever its size: the decoder keeps what it does not use yet."""
        return bytes(next(self._pieces, b""))
