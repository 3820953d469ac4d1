"""Layers decoded once, into an unlinked file or used where they lie, with both digests checked on the way.

Blob digest and diffID: OCI image-spec, descriptor.md and config.md ("Layer DiffID").
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from glassclave.digests import same_bytes
from glassclave.errors import GlassclaveError, LimitError, ParseError
from glassclave.image.codecs import Buffer, Codec, CodecError, codec_of, decoded
from glassclave.image.spool import SpoolFile, open_spool

DECODERS = 2
"""Layers decoded at once."""
DEFAULT_LIMIT = 64 << 30
"""Bytes that the layers of one image may decode to, together."""
FREE_BYTES = 256 << 20
MAX_RATIO = 1100
"""Decoded bytes per stored byte beyond the first `FREE_BYTES` of a layer; deflate itself ends at 1032."""
EXPORT_AGAIN = "the image was changed or is incomplete: export it again (skopeo copy … oci:out)"
_PIECE = 256 << 10
"""Bytes hashed and decoded at once: what stays in a processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBlob:
    """A layer as it is stored. ``stored`` gives its bytes, mapped; ``size`` is what the manifest says.

    ``digest`` and ``diff_id`` are ``sha256:…`` (``digest``: ``None`` where the container format has none);
    ``name`` counts as people do: ``layer 2 of 3``.
    """

    name: str
    stored: Callable[[], memoryview]
    size: int
    diff_id: str
    digest: str | None


class Meter:
    """What all threads read and unpack, counted together; ``advance`` is told the bytes read so far."""

    def __init__(self, limit: int, advance: Callable[[int], None]) -> None:
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._limit = limit
        self._unpacked = 0
        self._read = 0
        self._advance = advance

    def read(self, size: int) -> None:
        """``size`` more stored bytes were read."""
        with self._lock:
            self._read += size
            self._advance(self._read)

    def unpacked(self, size: int, name: str) -> None:
        """``size`` more decoded bytes are to be kept. Raises `LimitError` ``image.layer.limit``."""
        with self._lock:
            self._unpacked += size
            if self._unpacked > self._limit:
                raise LimitError(
                    "image.layer.limit",
                    f"the layers decode to more than {self._limit:,} bytes",
                    source=name,
                    hint="where the image is known to be that large: --max-unpacked BYTES",
                )


class _StoppedError(GlassclaveError):
    """Another layer failed: nobody waits for this one."""


def decode_layers(
    layers: Sequence[LayerBlob], folder: Path, meter: Meter
) -> Generator[memoryview, None, None]:
    """The tar of each layer in order, checked before it is given out; two are decoded at a time.

    Where several layers are wrong the lowest says so. Raises `ParseError` ``image.layer.*``, `LimitError`
    ``image.layer.limit`` and ``image.layer.ratio``, `UnavailableError` ``image.spool.*``.
    """
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="layer") as pool:
        try:
            running = [pool.submit(decode_layer, layer, folder, meter) for layer in layers]
            for future in running:
                yield future.result()
        finally:
            meter.stopped.set()
            pool.shutdown(cancel_futures=True)


def decode_layer(layer: LayerBlob, folder: Path, meter: Meter) -> memoryview:
    """One layer's tar, mapped: where it lies if it is not compressed, else in a file without a name."""
    data = layer.stored()
    if len(data) != layer.size:
        raise ParseError(
            "image.layer.size",
            f"has {len(data):,} bytes, its manifest says {layer.size:,}",
            source=layer.name,
            hint="the image is incomplete: export it again (skopeo copy … oci:out)",
        )
    codec = codec_of(bytes(data[:6]))
    stored = _Stored(layer, data, meter)
    if codec is Codec.PLAIN:
        meter.unpacked(layer.size, layer.name)
        stored.drain()
        stored.check_digest()
        _check(layer, "image.layer.diff-id", layer.diff_id, stored.hash.digest())
        return data
    with open_spool(folder) as file:
        unpacked = _Unpacked(layer, file, meter)
        failure: CodecError | None = None
        try:
            for piece in decoded(codec, stored):
                unpacked.take(piece)
        except CodecError as error:
            failure = error
        if layer.digest is not None:
            # First: where the blob is not what the manifest says, that is the reason for all else.
            stored.drain()
            stored.check_digest()
        if failure is not None:
            raise ParseError(
                f"image.layer.{failure.code}", failure.message, source=layer.name, hint=EXPORT_AGAIN
            ) from failure
        _check(layer, "image.layer.diff-id", layer.diff_id, unpacked.hash.digest())
        return file.mapped()


def unpack_archive(data: memoryview, name: str, folder: Path, limit: int) -> memoryview:
    """A whole archive, decoded where it is compressed. Nothing states its digest: its parts have theirs."""
    codec = codec_of(bytes(data[:6]))
    if codec is Codec.PLAIN:
        return data
    blob = LayerBlob(name=name, stored=lambda: data, size=len(data), diff_id="", digest=None)
    meter = Meter(limit, lambda _: None)
    with open_spool(folder) as file:
        unpacked = _Unpacked(blob, file, meter)
        try:
            for piece in decoded(codec, _Stored(blob, data, meter)):
                unpacked.take(piece)
        except CodecError as error:
            raise ParseError(
                f"image.archive.{error.code}", error.message, source=name, hint=EXPORT_AGAIN
            ) from error
        return file.mapped()


class _Stored:
    """The stored bytes in pieces, hashed as they go by."""

    def __init__(self, layer: LayerBlob, data: memoryview, meter: Meter) -> None:
        self.hash = hashlib.sha256()
        self._layer = layer
        self._pieces = (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
        self._meter = meter

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        if self._meter.stopped.is_set():
            raise _StoppedError("image.layer.stopped", "another layer is wrong")
        piece = next(self._pieces)
        self._meter.read(len(piece))
        self.hash.update(piece)
        return piece

    def drain(self) -> None:
        """Read on to the end, so that the digest is that of all."""
        for _ in self:
            pass

    def check_digest(self) -> None:
        """Compare with the manifest, where there is one that states a digest."""
        if self._layer.digest is not None:
            _check(self._layer, "image.layer.digest", self._layer.digest, self.hash.digest())


class _Unpacked:
    """The decoded bytes: bounded, hashed, kept."""

    def __init__(self, layer: LayerBlob, file: SpoolFile, meter: Meter) -> None:
        self.hash = hashlib.sha256()
        self._name = layer.name
        self._file = file
        self._meter = meter
        self._most = FREE_BYTES + MAX_RATIO * layer.size

    def take(self, piece: Buffer) -> None:
        """One more decoded piece."""
        self._meter.unpacked(len(piece), self._name)
        if self._file.size + len(piece) > self._most:
            raise LimitError(
                "image.layer.ratio",
                f"decodes to more than {MAX_RATIO:,} times its size",
                source=self._name,
                hint="no real layer does: store it uncompressed if this one is meant",
            )
        self.hash.update(piece)
        self._file.write(piece)


def _check(layer: LayerBlob, code: str, wanted: str, found: bytes) -> None:
    if not same_bytes(bytes.fromhex(wanted.removeprefix("sha256:")), found):
        whose = "manifest" if code == "image.layer.digest" else "image's configuration"
        raise ParseError(
            code,
            f"is not what its {whose} says: expected {wanted}, got sha256:{found.hex()}",
            source=layer.name,
            hint=EXPORT_AGAIN,
        )
