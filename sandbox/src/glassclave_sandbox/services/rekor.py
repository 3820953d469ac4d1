"""Rekor version 1: an append-only log with promises, proofs and checkpoints, in memory.

Paths and shapes: rekor, openapi.yaml. Index 0 is an entry of the log's own, because readers before
sigstore-go 1.1 (cosign 2.5.0) take an entry at index 0 for none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785

from glassclave_sandbox.services.entries import canonical_body, digests_in
from glassclave_sandbox.services.keys import LogKey
from glassclave_sandbox.services.merkle import consistency_proof, inclusion_proof, leaf_hash, root_hash
from glassclave_sandbox.services.server import LOOPBACK, Answer, RefusedRequestError, Request, json_answer

ENTRIES = "/api/v1/log/entries"
_MOST_RETRIEVED = 10


@dataclass(frozen=True, slots=True)
class _Logged:
    body: str
    integrated_time: int
    promise: str


class Rekor:
    """The log and what is asked of it."""

    def __init__(self, key: LogKey, clock: Callable[[], datetime]) -> None:
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._leaves: list[bytes] = []
        self._entries: list[_Logged] = []
        self.tree_id = secrets.randbits(62) | 1 << 62
        self._append(canonical_body(_first_entry(key)))

    def add(self, request: Request) -> Answer:
        """``POST /api/v1/log/entries``: 201 with the entry, 409 where it is in the log already."""
        body = canonical_body(_json(request))
        with self._lock:
            known = leaf_hash(body) in self._leaves
            index = self._leaves.index(leaf_hash(body)) if known else self._append(body)
            uuid, entry = self._uuid(index), self._entry(index)
        location = {"Location": f"{ENTRIES}/{uuid}"}
        if known:
            message = f"an equivalent entry already exists in the transparency log with UUID {uuid}"
            raise RefusedRequestError(409, message, location)
        return json_answer({uuid: entry}, 201, location | {"ETag": uuid})

    def by_index(self, request: Request) -> Answer:
        """``GET /api/v1/log/entries?logIndex=N``."""
        text = request.query.get("logIndex", "")
        if not text.isascii() or not text.isdigit():
            raise RefusedRequestError(422, "logIndex in query is required")
        with self._lock:
            index = self._known(int(text))
            return json_answer({self._uuid(index): self._entry(index)})

    def by_uuid(self, request: Request) -> Answer:
        """``GET /api/v1/log/entries/UUID``, with or without the tree's number before the hash."""
        with self._lock:
            index = self._index_of(request.path.rpartition("/")[2])
            return json_answer({self._uuid(index): self._entry(index)})

    def retrieve(self, request: Request) -> Answer:
        """``POST /api/v1/log/entries/retrieve``: by index, by UUID, or by the entry itself."""
        asked = _json(request)
        if not isinstance(asked, dict) or sum(len(value) for value in asked.values()) > _MOST_RETRIEVED:
            raise RefusedRequestError(422, f"at most {_MOST_RETRIEVED} entries at once")
        found: set[int] = set()
        with self._lock:
            for number in asked.get("logIndexes", []):
                found.add(self._known(number))
            for uuid in asked.get("entryUUIDs", []):
                found.add(self._index_of(uuid))
            for proposed in asked.get("entries", []):
                leaf = leaf_hash(canonical_body(proposed))
                found |= {self._leaves.index(leaf)} if leaf in self._leaves else set()
            return json_answer([{self._uuid(index): self._entry(index)} for index in sorted(found)])

    def search(self, request: Request) -> Answer:
        """``POST /api/v1/index/retrieve``: the UUIDs of the entries about a hash."""
        asked = _json(request)
        wanted = asked.get("hash", "") if isinstance(asked, dict) else ""
        with self._lock:
            bodies = enumerate(base64.b64decode(entry.body) for entry in self._entries)
            return json_answer([self._uuid(index) for index, body in bodies if wanted in digests_in(body)])

    def log_info(self, _request: Request) -> Answer:
        """``GET /api/v1/log``."""
        with self._lock:
            return json_answer(
                {
                    "inactiveShards": [],
                    "rootHash": root_hash(self._leaves).hex(),
                    "signedTreeHead": self._checkpoint(),
                    "treeID": str(self.tree_id),
                    "treeSize": len(self._leaves),
                }
            )

    def proof(self, request: Request) -> Answer:
        """``GET /api/v1/log/proof?firstSize=&lastSize=``: that the log has only grown."""
        with self._lock:
            try:
                first = int(request.query.get("firstSize", "1"))
                last = int(request.query["lastSize"])
            except (ValueError, KeyError) as error:
                raise RefusedRequestError(422, "lastSize in query is required") from error
            if not 1 <= first <= last <= len(self._leaves):
                raise RefusedRequestError(400, "sizes that this log never had, or in the wrong order")
            hashes = consistency_proof(self._leaves[:last], first)
            root = root_hash(self._leaves[:last]).hex()
        return json_answer({"hashes": [value.hex() for value in hashes], "rootHash": root})

    def public_key(self, _request: Request) -> Answer:
        """``GET /api/v1/log/publicKey``."""
        return Answer(200, self._key.pem, "application/x-pem-file")

    def _append(self, body: bytes) -> int:
        index, encoded = len(self._leaves), base64.b64encode(body).decode()
        integrated = int(self._clock().timestamp())
        promised: dict[str, str | int] = {
            "body": encoded,
            "integratedTime": integrated,
            "logID": self._key.log_id.hex(),
            "logIndex": index,
        }
        promise = base64.b64encode(self._key.sign(rfc8785.dumps(promised))).decode()
        self._leaves.append(leaf_hash(body))
        self._entries.append(_Logged(encoded, integrated, promise))
        return index

    def _entry(self, index: int) -> dict[str, Any]:
        logged = self._entries[index]
        return {
            "body": logged.body,
            "integratedTime": logged.integrated_time,
            "logID": self._key.log_id.hex(),
            "logIndex": index,
            "verification": {
                "inclusionProof": {
                    "checkpoint": self._checkpoint(),
                    "hashes": [value.hex() for value in inclusion_proof(self._leaves, index)],
                    "logIndex": index,
                    "rootHash": root_hash(self._leaves).hex(),
                    "treeSize": len(self._leaves),
                },
                "signedEntryTimestamp": logged.promise,
            },
        }

    def _checkpoint(self) -> str:
        """The tree's head as a signed note (C2SP tlog-checkpoint; rekor, pkg/util/signed_note.go)."""
        root = base64.b64encode(root_hash(self._leaves)).decode()
        note = f"{LOOPBACK} - {self.tree_id}\n{len(self._leaves)}\n{root}\n"
        signature = base64.b64encode(self._key.log_id[:4] + self._key.sign(note.encode())).decode()
        return f"{note}\n\N{EM DASH} {LOOPBACK} {signature}\n"

    def _uuid(self, index: int) -> str:
        return f"{self.tree_id:016x}{self._leaves[index].hex()}"

    def _known(self, index: object) -> int:
        if not isinstance(index, int) or not 0 <= index < len(self._leaves):
            raise RefusedRequestError(404, "entry not found")
        return index

    def _index_of(self, uuid: object) -> int:
        text = str(uuid)
        for index, leaf in enumerate(self._leaves):
            if text in (leaf.hex(), f"{self.tree_id:016x}{leaf.hex()}"):
                return index
        raise RefusedRequestError(404, "entry not found")


def _first_entry(key: LogKey) -> dict[str, Any]:
    data = b"the first entry of this log is about nothing"
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}},
            "signature": {
                "content": base64.b64encode(key.sign(data)).decode(),
                "publicKey": {"content": base64.b64encode(key.pem).decode()},
            },
        },
    }


def _json(request: Request) -> object:
    try:
        return json.loads(request.document())
    except ValueError as error:
        raise RefusedRequestError(400, f"not JSON: {error}") from error
