"""Layers decoded: each blob read once, checked against both its digests, spooled unless it is plain.

Blob digest and diffID: OCI image-spec, ``descriptor.md`` and ``config.md`` ("Layer DiffID").
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from glassclave.digests import same_bytes
from glassclave.errors import GlassclaveError, LimitError, ParseError
from glassclave.image.codecs import Codec, CodecError, codec_of, decoder
from glassclave.image.region import Region
from glassclave.image.spool import Spool, SpoolFile

WORKERS = 2
MAX_UNPACKED_BYTES = 64 << 30
"""Bytes of all layers of one image, decoded."""
FREE_BYTES = 256 << 20
MAX_RATIO = 1100
"""Decoded bytes per byte beyond the first `FREE_BYTES` of a layer: deflate itself cannot exceed 1032."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBlob:
    """A layer as it is stored. ``digest``: of the blob, where a manifest states one; ``diff_id``: decoded.

    ``name`` says which layer it is, as people count: ``layer 2 of 3``.
    """

    region: Region
    digest: str | None
    diff_id: str
    name: str


class Meter:
    """Counts what all threads read and write; one budget for the whole image.

    ``advance`` is told the bytes read so far.
    """

    def __init__(self, budget: int, advance: Callable[[int], None]) -> None:
        self._lock = threading.Lock()
        self._left = budget
        self._budget = budget
        self._read = 0
        self._advance = advance
        self.stopped = threading.Event()

    def read(self, size: int) -> None:
        """``size`` bytes of stored layers were read."""
        with self._lock:
            self._read += size
            self._advance(self._read)

    def unpacked(self, size: int, layer: str) -> None:
        """``size`` decoded bytes are about to be kept. Raises `LimitError` ``image.layer.unpacked``."""
        with self._lock:
            self._left -= size
            if self._left < 0:
                raise LimitError(
                    "image.layer.unpacked",
                    f"the layers decode to more than {self._budget} bytes",
                    source=layer,
                    hint="if you trust the image: --max-unpacked BYTES",
                )


class _Stopped(GlassclaveError):
    """Another layer failed: the result of this one is wanted no more."""


def decode_layers(layers: Sequence[LayerBlob], spool: Spool, meter: Meter) -> Iterator[Region]:
    """The decoded layers in order, two at a time, each checked before it is given out.

    Raises `ParseError` ``image.layer.*``, `LimitError` ``image.layer.unpacked`` or ``image.layer.ratio``,
    `UnavailableError` ``image.spool.*``; where several layers are wrong, the lowest of them says so.
    """
    with ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="layer") as pool:
        try:
            # Not pool.map, which would start on all layers whether or not the first is good.
            running = [pool.submit(decode_layer, layer, spool, meter) for layer in layers]
            for future in running:
                yield future.result()
        finally:
            meter.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)


def decode_layer(layer: LayerBlob, spool: Spool, meter: Meter) -> Region:
    """One layer's tar archive: in place where the blob is plain, else in a spool file."""
    codec = codec_of(layer.region)
    stored = hashlib.sha256() if layer.digest is not None else None
    if codec is Codec.PLAIN:
        meter.unpacked(layer.region.size, layer.name)
        unpacked = hashlib.sha256()
        for piece in _stored_pieces(layer.region, meter):
            unpacked.update(piece)
        if layer.digest is not None:
            _check_digest(layer, unpacked.digest())
        _check_diff_id(layer, unpacked.digest())
        return layer.region
    blob = _HashedPieces(_stored_pieces(layer.region, meter), stored)
    spooled = _SpooledLayer(layer, spool.new_file(), meter)
    failure: CodecError | None = None
    try:
        for piece in decoder(codec, blob):
            spooled.take(piece)
    except CodecError as error:
        failure = error
    blob.drain()
    if stored is not None:
        # First: where the blob is not what the manifest says, that is the reason for all else.
        _check_digest(layer, stored.digest())
    if failure is not None:
        raise ParseError(f"image.layer.{failure.code}", failure.message, source=layer.name) from failure
    _check_diff_id(layer, spooled.hash.digest())
    return spooled.file.region(layer.name)


class _HashedPieces:
    """The pieces of a blob, hashed on their way."""

    def __init__(self, source: Iterator[bytes], stored: hashlib._Hash | None) -> None:
        self._source = source
        self._hash = stored

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._source)
        if self._hash is not None:
            self._hash.update(piece)
        return piece

    def drain(self) -> None:
        """Read on to the end, so that the digest covers all."""
        if self._hash is not None:
            for _ in self:
                pass


class _SpooledLayer:
    def __init__(self, layer: LayerBlob, file: SpoolFile, meter: Meter) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self._name = layer.name
        self._most = FREE_BYTES + MAX_RATIO * layer.region.size
        self._meter = meter

    def take(self, piece: bytes | memoryview) -> None:
        """Account for, hash and keep a decoded piece."""
        self._meter.unpacked(len(piece), self._name)
        if self.file.size + len(piece) > self._most:
            raise LimitError(
                "image.layer.ratio", f"decodes to more than {MAX_RATIO} times its size", source=self._name
            )
        self.hash.update(piece)
        self.file.write(piece)


def _stored_pieces(region: Region, meter: Meter) -> Iterator[bytes]:
    for offset in range(0, region.size, _READ_SIZE):
        if meter.stopped.is_set():
            raise _Stopped("image.layer.stopped", "another layer is wrong")
        piece = region.read_at(offset, min(_READ_SIZE, region.size - offset))
        meter.read(len(piece))
        yield piece


_READ_SIZE = 256 << 10


def _check_digest(layer: LayerBlob, got: bytes) -> None:
    wanted = bytes.fromhex((layer.digest or "").removeprefix("sha256:"))
    if not same_bytes(wanted, got):
        raise _differs(layer, "image.layer.digest", wanted, got, "its manifest")


def _check_diff_id(layer: LayerBlob, got: bytes) -> None:
    wanted = bytes.fromhex(layer.diff_id.removeprefix("sha256:"))
    if not same_bytes(wanted, got):
        raise _differs(layer, "image.layer.diff-id", wanted, got, "its image's configuration")


def _differs(layer: LayerBlob, code: str, wanted: bytes, got: bytes, whose: str) -> ParseError:
    return ParseError(
        code,
        f"is not what {whose} says: expected sha256:{wanted.hex()}, got sha256:{got.hex()}",
        source=layer.name,
        hint="the image was changed or is incomplete: export it again",
    )
