"""Formats that can be written too: whatever is written is read back as the same."""

from __future__ import annotations

import base64
import json
import string
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from glassclave.attestation.armor import unarmor
from glassclave.clients.registry_auth import parse_challenge
from glassclave.errors import ParseError
from glassclave.fields import parse_json
from glassclave.image.docker_archive import find_image
from glassclave.image.dockerfile import parse_dockerfile
from glassclave.image.document import parse_config
from glassclave.image.oci_layout import Choice
from glassclave.image.store import ArchiveStore
from glassclave.image.tar import read_entries
from glassclave.oci.manifest import Descriptor, build_index, build_manifest, parse_index, parse_manifest
from glassclave.oci.reference import Reference, parse_reference
from glassclave.oci.referrers import merge_fallback_index
from glassclave.policy.file import load_policy
from glassclave.provenance.bundle import claimed_predicate_type
from glassclave.provenance.claims import parse_claims
from glassclave.provenance.cosign import (
    LegacySignature,
    build_payload,
    layer_annotations,
    read_layer,
    signed_digest,
)
from tests.interop.layer_stacks import DrawnLayer, Entry, entries
from tests.unit.image.archives import member, tar
from tests.unit.image.layouts import config_document, digest, docker_tar
from tests.unit.provenance.test_claims import certificate, utf8

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PRINTED = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200)
HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
DIGESTS = HEX.map("sha256:".__add__)
DESCRIPTORS = st.builds(
    Descriptor,
    media_type=TEXTS,
    digest=DIGESTS,
    size=st.integers(0, (1 << 63) - 1),
    annotations=st.dictionaries(TEXTS, TEXTS, max_size=3),
    artifact_type=st.none() | TEXTS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)
WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
REPOSITORIES = st.lists(
    st.tuples(WORDS, st.sampled_from([".", "_", "__", "-", "---"]), WORDS).map("".join),
    min_size=1,
    max_size=4,
).map("/".join)


@given(JSON)
def test_json(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert parse_json(text.encode(), source="f") == value


@given(st.lists(st.sampled_from([*'[]{}",:1\\n'])).map("".join))
def test_how_deep_json_is(text: str) -> None:
    depths = [0]
    rest = iter(text)
    for char in rest:
        if char == '"':
            for inner in rest:
                if inner == '"' or (inner == "\\" and next(rest, None) is None):
                    break
        elif char in "[]{}":
            depths.append(depths[-1] + (1 if char in "[{" else -1))
    for limit in (max(depths) - 1, max(depths)):
        try:
            parse_json(text.encode(), source="f", max_depth=limit)
        except ParseError as error:
            assert (error.code == "json.depth") == (limit < max(depths))
        else:
            assert limit == max(depths)


@given(DESCRIPTORS, st.lists(DESCRIPTORS, max_size=4), st.none() | DESCRIPTORS, st.none() | TEXTS)
def test_manifests(
    config: Descriptor, layers: list[Descriptor], subject: Descriptor | None, kind: str | None
) -> None:
    data = build_manifest(
        config=config, layers=layers, subject=subject, artifact_type=kind, annotations=config.annotations
    )
    read = parse_manifest(data, source="f")
    assert (read.config, read.layers, read.subject) == (config, tuple(layers), subject)
    assert (read.artifact_type, read.annotations) == (kind, config.annotations)


@given(st.lists(DESCRIPTORS, max_size=6), DESCRIPTORS)
def test_indexes_and_what_is_added_to_them(listed: list[Descriptor], entry: Descriptor) -> None:
    data = build_index(listed)
    assert parse_index(data, source="f").manifests == tuple(listed)
    merged = parse_index(merge_fallback_index(data, entry), source="f").manifests
    assert merged == (*(one for one in listed if one.digest != entry.digest), entry)


@given(
    st.sampled_from(["ghcr.io", "localhost", "127.0.0.1:5000", "a-b.example:65535", "[::1]:1"]),
    REPOSITORIES,
    st.none() | st.text(string.ascii_letters + string.digits + "._-", max_size=60).map("T".__add__),
    st.none() | DIGESTS,
)
def test_references(registry: str, repository: str, tag: str | None, pinned: str | None) -> None:
    reference = Reference(registry, repository, tag, pinned)
    assert parse_reference(str(reference)) == reference


CLAIMS = {9: "build_signer_uri", 13: "source_repository_digest", 20: "build_trigger", 22: "visibility"}


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from(sorted(CLAIMS)), PRINTED.filter(lambda text: len(text.encode()) < 128))
)
def test_claims(values: dict[int, str]) -> None:
    values.pop(9, None)  # it must be the subject's name: the certificate's own
    found = parse_claims(certificate({number: utf8(text) for number, text in values.items()})).present()
    found.pop("san_uri")
    assert found == {CLAIMS[number]: text for number, text in values.items()}


@given(TEXTS.filter(bool), TEXTS.filter(bool), st.none() | TEXTS, st.binary(max_size=50), DIGESTS)
def test_cosign_layers(signature: str, pem: str, other: str | None, payload: bytes, about: str) -> None:
    layer = LegacySignature(
        payload=payload, signature=signature, certificate=pem, chain=other, bundle=other, timestamp=None
    )
    assert read_layer(payload, layer_annotations(layer)) == layer
    assert signed_digest(build_payload(signature, about)) == about


@given(TEXTS)
def test_what_a_bundle_says_it_is_about(kind: str) -> None:
    statement = base64.b64encode(json.dumps({"predicateType": kind}).encode()).decode()
    assert claimed_predicate_type(json.dumps({"dsseEnvelope": {"payload": statement}}).encode()) == kind


@given(st.lists(st.sampled_from(["refs/tags/*", "refs/heads/main", "refs/tags/v1.*"]), min_size=1), HEX)
def test_policies(refs: list[str], commit: str) -> None:
    text = f'repository = "a/b"\nsource-refs = {json.dumps(refs)}\nsource-digest = "{commit[:40]}"\n'
    policy = load_policy(text.encode(), source="f")
    assert (policy.repository, policy.source_refs, policy.source_digest) == ("a/b", tuple(refs), commit[:40])


@given(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3), TEXTS, st.lists(HEX, max_size=3))
def test_configurations(entrypoint: list[str], env: list[str], user: str, layers: list[str]) -> None:
    inner = {"Entrypoint": entrypoint, "Env": env, "User": user, "Cmd": None}
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{layer}" for layer in layers]}
    config = parse_config(json.dumps(config_document([], config=inner, rootfs=rootfs)).encode(), source="f")
    assert (config.entrypoint, config.env, config.user) == (tuple(entrypoint), tuple(env), user)
    assert config.layer_digests == tuple(rootfs["diff_ids"])


@given(st.lists(REPOSITORIES, min_size=1, max_size=5))
def test_dockerfiles(names: list[str]) -> None:
    text = "".join(f"FROM {name}:1 AS s{n}\nRUN true\n" for n, name in enumerate(names))
    found = parse_dockerfile(text.encode(), source="f", build_args={}).bases
    assert [base.name for base in found] == list(dict.fromkeys(f"{name}:1" for name in names))


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4, unique=True))
def test_docker_archives(contents: list[bytes]) -> None:
    layers = [tar(member("a", "f", data)) for data in contents]
    store = ArchiveStore(memoryview(docker_tar(layers)), "f")
    image = find_image(store, Choice(tag="hello:1"))
    assert [bytes(layer.stored()) for layer in image.layers] == layers
    assert [layer.diff_id for layer in image.layers] == [digest(layer) for layer in layers]


@settings(max_examples=300)
@given(st.lists(entries, max_size=6), st.sampled_from(["v7", "ustar", "gnu", "pax"]))
def test_tar_in_every_form(members: list[Entry], form: str) -> None:
    members = [replace(one, kind="f" if one.kind in "wo" else one.kind) for one in members]
    data = DrawnLayer(form, tuple(members)).tar()
    for wanted, got in zip(members, read_entries(memoryview(data), source="f"), strict=True):
        assert got.name.removesuffix(b"/") == wanted.path
        assert (got.mode, got.uid, got.gid, got.mtime) == (wanted.mode, wanted.uid, wanted.gid, wanted.mtime)
        assert got.link == (wanted.target if wanted.kind in "lh" else b"")
        content = wanted.data if wanted.kind == "f" else b""
        assert data[got.offset : got.offset + got.size] == content


@given(st.binary(min_size=1, max_size=80))
def test_armour(data: bytes) -> None:
    raw = b"\x84" + data
    for text in (raw, raw.hex().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"=")):
        assert unarmor(text)[0] == raw


@given(st.dictionaries(WORDS, st.text(string.printable.replace("\\", "").replace('"', ""), max_size=30)))
def test_challenges(parameters: dict[str, str]) -> None:
    header = "Bearer " + ",".join(f'{name}="{value}"' for name, value in parameters.items())
    challenge = parse_challenge(header)
    assert challenge is not None
    assert challenge.parameters == parameters
