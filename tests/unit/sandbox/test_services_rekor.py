"""The log keeps only what is signed, once, and proves what it says."""

import base64
import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from glassclave_sandbox.services import Services
from glassclave_sandbox.services.merkle import consistency_proof, inclusion_proof, leaf_hash, root_hash
from tests.unit.sandbox.loopback import ask, record

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PAYLOAD = b'{"_type":"x"}'


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Services(tmp_path_factory.mktemp("services"), registry=False) as running:
        yield f"{running.url}/api/v1/log"


def envelope() -> dict[str, Any]:
    pae = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(PAYLOAD), PAYLOAD)
    signature = base64.b64encode(KEY.sign(pae, ec.ECDSA(SHA256()))).decode()
    return {
        "payload": base64.b64encode(PAYLOAD).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": signature}],
    }


def dsse(content: dict[str, Any]) -> dict[str, Any]:
    proposed = {"envelope": json.dumps(content), "verifiers": [base64.b64encode(PEM).decode()]}
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": proposed}}


def intoto(content: dict[str, Any]) -> dict[str, Any]:
    def again(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    key = base64.b64encode(PEM).decode()
    signatures = [{"publicKey": key, "sig": again(part["sig"])} for part in content["signatures"]]
    twice = content | {"payload": again(content["payload"]), "signatures": signatures}
    digest = {"algorithm": "sha256", "value": hashlib.sha256(json.dumps(content).encode()).hexdigest()}
    return {
        "apiVersion": "0.0.2",
        "kind": "intoto",
        "spec": {"content": {"envelope": twice, "hash": digest}},
    }


def climb(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162 §2.1.3.2)."""
    node, last = leaf, size - 1
    for sibling in proof:
        assert last > 0
        if index % 2 or index == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    assert last == 0
    return node


@given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_every_inclusion_proof_leads_to_the_root(tree: tuple[int, int]) -> None:
    size, index = tree
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    assert climb(leaves[index], index, size, inclusion_proof(leaves, index)) == root_hash(leaves)


def test_consistency_proofs_are_those_of_the_rfc() -> None:
    """RFC 6962 §2.1.3, the tree of seven leaves and its parts of 3, 4 and 6."""
    leaves = [leaf_hash(bytes([number])) for number in range(7)]
    a_b, c, d = root_hash(leaves[:2]), leaves[2], leaves[3]
    assert consistency_proof(leaves, 3) == [c, d, a_b, root_hash(leaves[4:])]
    assert consistency_proof(leaves, 4) == [root_hash(leaves[4:])]
    assert consistency_proof(leaves, 6) == [root_hash(leaves[4:6]), leaves[6], root_hash(leaves[:4])]
    assert consistency_proof(leaves, 7) == []


@pytest.mark.parametrize("proposed", [record(b"1", KEY, PEM), dsse(envelope()), intoto(envelope())])
def test_an_entry_is_logged_once_and_found_again(log: str, proposed: dict[str, Any]) -> None:
    created = ask("POST", f"{log}/entries", proposed)
    assert created.status == 201
    [(uuid, entry)] = created.json().items()
    assert created.headers["Location"] == f"/api/v1/log/entries/{uuid}"
    assert entry["logIndex"] > 0
    again = ask("POST", f"{log}/entries", proposed)
    assert (again.status, again.headers["Location"]) == (409, created.headers["Location"])
    for found in (
        ask("GET", f"{log}/entries/{uuid}"),
        ask("GET", f"{log}/entries/{uuid[16:]}"),
        ask("GET", f"{log}/entries?logIndex={entry['logIndex']}"),
    ):
        assert found.json()[uuid]["body"] == entry["body"]
    for wanted in (
        {"entryUUIDs": [uuid]},
        {"logIndexes": [entry["logIndex"]]},
        {"entries": [proposed]},
    ):
        assert [*ask("POST", f"{log}/entries/retrieve", wanted).json()[0]] == [uuid]
    body = json.loads(base64.b64decode(entry["body"]))
    assert (body["kind"], body["apiVersion"]) == (proposed["kind"], proposed["apiVersion"])


def test_an_entry_is_promised_and_proved(log: str) -> None:
    [(uuid, entry)] = ask("POST", f"{log}/entries", record(b"proved", KEY, PEM)).json().items()
    key = load_pem_public_key(ask("GET", f"{log}/publicKey").body)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    promised = {name: entry[name] for name in ("body", "integratedTime", "logID", "logIndex")}
    promise = base64.b64decode(entry["verification"]["signedEntryTimestamp"])
    key.verify(promise, rfc8785.dumps(promised), ec.ECDSA(SHA256()))
    proof = entry["verification"]["inclusionProof"]
    leaf = leaf_hash(base64.b64decode(entry["body"]))
    assert uuid == uuid[:16] + leaf.hex()
    hashes = [bytes.fromhex(value) for value in proof["hashes"]]
    assert climb(leaf, proof["logIndex"], proof["treeSize"], hashes).hex() == proof["rootHash"]
    note, _, signatures = proof["checkpoint"].partition("\n\n")
    signature = base64.b64decode(signatures.split(" ")[2])
    assert signature[:4].hex() == entry["logID"][:8]
    key.verify(signature[4:], note.encode() + b"\n", ec.ECDSA(SHA256()))
    assert note.split("\n")[1:] == [
        str(proof["treeSize"]),
        base64.b64encode(bytes.fromhex(proof["rootHash"])).decode(),
    ]


def test_the_log_tells_of_itself(log: str) -> None:
    before = ask("GET", log).json()
    ask("POST", f"{log}/entries", record(b"one more", KEY, PEM))
    after = ask("GET", log).json()
    assert after["treeSize"] == before["treeSize"] + 1
    sizes = f"firstSize={before['treeSize']}&lastSize={after['treeSize']}"
    assert ask("GET", f"{log}/proof?{sizes}").json()["rootHash"] == after["rootHash"]
    assert ask("GET", f"{log}/proof?firstSize=2&lastSize=1").status == 400
    assert ask("GET", f"{log}/proof").status == 422
    digest = f"sha256:{hashlib.sha256(b'one more').hexdigest()}"
    index = log.replace("/log", "/index/retrieve")
    assert len(ask("POST", index, {"hash": digest}).json()) == 1
    assert ask("POST", index, {"hash": "sha256:00"}).json() == []


def changed(proposed: dict[str, Any], *path: str | int, value: object) -> dict[str, Any]:
    result = copy.deepcopy(proposed)
    inner: Any = result
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return result


GOOD = record(b"good", KEY, PEM)
UNSIGNED = envelope() | {"signatures": []}
OTHER_TYPE = envelope() | {"payloadType": "text/plain"}


@pytest.mark.parametrize(
    "proposed",
    [
        changed(GOOD, "spec", "data", "hash", "value", value="00" * 32),
        changed(GOOD, "spec", "data", "hash", "algorithm", value="md5"),
        changed(GOOD, "spec", "signature", "publicKey", "content", value="AA=="),
        changed(GOOD, "spec", "signature", "content", value="*"),
        changed(GOOD, "apiVersion", value="0.0.2"),
        changed(GOOD, "kind", value="rpm"),
        changed(GOOD, "spec", value=None),
        dsse(OTHER_TYPE),
        dsse(UNSIGNED),
        changed(dsse(envelope()), "spec", "proposedContent", "verifiers", value=[]),
        intoto(OTHER_TYPE),
        intoto(UNSIGNED),
        [],
        "x",
    ],
)
def test_what_proves_nothing_is_not_logged(log: str, proposed: object) -> None:
    before = ask("GET", log).json()["treeSize"]
    assert ask("POST", f"{log}/entries", proposed).status == 400
    assert ask("GET", log).json()["treeSize"] == before


def test_what_is_not_there_is_not_found(log: str) -> None:
    assert ask("GET", f"{log}/entries?logIndex=100000").status == 404
    assert ask("GET", f"{log}/entries?logIndex=x").status == 422
    assert ask("GET", f"{log}/entries/{'0' * 64}").status == 404
    assert ask("POST", f"{log}/entries/retrieve", {"logIndexes": list(range(11))}).status == 422
    assert ask("POST", f"{log}/entries", b"{").status == 400
    assert ask("DELETE", f"{log}/publicKey").status == 405
    assert ask("GET", f"{log}/nothing").status == 404
