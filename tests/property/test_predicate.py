"""Any predicate that can be held is written and read back; the schema accepts what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from glassclave.errors import GlassclaveError
from glassclave.provenance.claimed import (
    BootstrapClaim,
    BuildLogClaim,
    Claimed,
    Recipe,
    SourceClaim,
    Unmeasured,
)
from glassclave.provenance.container import ContainerClaim, is_context
from glassclave.provenance.outside import (
    CommandClaim,
    Item,
    Listed,
    OutsideClaim,
    PackageChange,
    RepositoryClaim,
    UnreadClaim,
    listed,
)
from glassclave.provenance.predicate import (
    FileDigest,
    Measured,
    MeasurementPredicate,
    SectionDigest,
    parse_predicate,
    predicate_json,
)
from glassclave.provenance.statement import PREDICATE_TYPE, build_statement, parse_statement
from glassclave.results import Measurements

ItemT = TypeVar("ItemT", bound=Item)
SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
VALIDATOR = Draft202012Validator(
    json.loads((SPEC / "measurement-v1.schema.json").read_text(encoding="utf-8"))
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SIZES = st.integers(0, (1 << 63) - 1)
DIGESTS = st.binary(min_size=48, max_size=48)
SHORT_DIGESTS = st.binary(min_size=32, max_size=32)
SECTIONS = st.builds(
    SectionDigest,
    type=st.sampled_from(["kernel", "cmdline", "ramdisk", "metadata"]),
    size=SIZES,
    sha384=DIGESTS,
)
SIGNATURE = SectionDigest(type="signature", size=1, sha384=bytes(48))


@st.composite
def measured(draw: st.DrawFn) -> Measured:
    signed = draw(st.booleans())
    sections = draw(st.lists(SECTIONS, max_size=6)) + [SIGNATURE] * signed
    return Measured(
        measurements=Measurements(
            pcr0=draw(DIGESTS),
            pcr1=draw(DIGESTS),
            pcr2=draw(DIGESTS),
            pcr8=draw(DIGESTS) if signed else None,
        ),
        sections=tuple(sections),
        eif=FileDigest(size=draw(SIZES), sha256=draw(SHORT_DIGESTS), sha384=draw(DIGESTS)),
        architecture=draw(st.sampled_from(["x86_64", "aarch64"])),
        eif_version=draw(st.integers(0, 65535)),
        flags=draw(st.integers(0, 65535)),
    )


COMMITS = st.sampled_from([20, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
CLAIMED = st.builds(
    Claimed,
    bootstrap=st.builds(BootstrapClaim, name=TEXTS, kernel_version=TEXTS, pcr1_owner=st.none() | TEXTS),
    recipe=st.builds(
        Recipe,
        layout=TEXTS,
        mtime=st.none() | st.integers(0, (1 << 32) - 1),
        normalizers=st.lists(TEXTS, max_size=3).map(tuple),
        drop_file_capabilities=st.booleans(),
        tool_name=TEXTS,
        tool_version=TEXTS,
    ),
    source=st.none() | st.builds(SourceClaim, repository=TEXTS, commit=COMMITS.map(bytes.hex), ref=TEXTS),
    unmeasured=st.builds(
        Unmeasured,
        image_name=TEXTS,
        image_version=TEXTS,
        build_time=TEXTS,
        build_tool=TEXTS,
        build_tool_version=TEXTS,
        operating_system=TEXTS,
        kernel_version=TEXTS,
    ),
    build_log=st.none() | st.builds(BuildLogClaim, size=SIZES, sha256=SHORT_DIGESTS),
)
COMMIT_TEXTS = COMMITS.map(bytes.hex)
LAYERS = st.integers(1, (1 << 32) - 1)
PACKAGES = st.builds(
    PackageChange,
    layer=LAYERS,
    change=st.sampled_from(["added", "removed"]),
    type=TEXTS,
    name=TEXTS,
    version=TEXTS,
) | st.builds(
    PackageChange,
    layer=LAYERS,
    change=st.just("changed"),
    type=TEXTS,
    name=TEXTS,
    version=TEXTS,
    before=TEXTS,
)
REPOSITORIES = st.builds(
    RepositoryClaim,
    layer=LAYERS,
    path=TEXTS,
    commit=st.none() | COMMIT_TEXTS,
    ref=st.none() | TEXTS,
    remotes=st.lists(TEXTS, max_size=2).map(tuple),
)
UNREAD = st.builds(UnreadClaim, layer=LAYERS, path=TEXTS, code=TEXTS, reason=TEXTS)
COMMANDS = st.builds(CommandClaim, line=LAYERS, text=TEXTS)


def some_listed(items: st.SearchStrategy[ItemT]) -> st.SearchStrategy[Listed[ItemT]]:
    """Whole lists, and lists that were cut."""
    return st.builds(
        lambda found, room: listed(found, room=room), st.lists(items, max_size=3), st.integers(0, 999)
    )


OUTSIDE = st.builds(
    OutsideClaim,
    layers=st.just((1 << 32) - 1),
    base_layers=st.none() | st.integers(0, (1 << 32) - 1),
    packages=some_listed(PACKAGES),
    repositories=some_listed(REPOSITORIES),
    commands=some_listed(COMMANDS),
    unread=some_listed(UNREAD),
)
CONTAINERS = st.builds(
    ContainerClaim,
    builder_name=TEXTS,
    builder_version=TEXTS,
    context=st.none()
    | st.just(".")
    | st.from_regex(r"[a-z .]{1,5}(/[^/\\\0.\n]{1,5}){0,2}", fullmatch=True).filter(is_context),
    dockerfile=TEXTS,
    dockerfile_sha256=SHORT_DIGESTS,
    target=st.none() | TEXTS,
    build_args=st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple),
    secrets=st.lists(TEXTS, max_size=2).map(tuple),
    bases=st.lists(st.tuples(TEXTS, st.none()), max_size=2).map(tuple),
    added=st.lists(TEXTS, max_size=2).map(tuple),
    outside=st.none() | OUTSIDE,
)
CLAIMED_OF_FOLDERS = st.builds(lambda one, made: replace(one, container=made), CLAIMED, CONTAINERS)
PREDICATES = st.builds(MeasurementPredicate, measured=measured(), claimed=CLAIMED | CLAIMED_OF_FOLDERS)


@given(PREDICATES)
def test_a_predicate_survives_the_file_and_the_statement(predicate: MeasurementPredicate) -> None:
    data = predicate_json(predicate)
    VALIDATOR.validate(json.loads(data))
    assert parse_predicate(data, source="file") == predicate
    statement = parse_statement(build_statement("name", "00" * 32, predicate), predicate_type=PREDICATE_TYPE)
    assert parse_predicate(statement.predicate, source="statement") == predicate
    assert predicate_json(parse_predicate(data, source="file")) == data


@given(PREDICATES, st.integers(min_value=0), st.binary(max_size=3))
def test_a_damaged_file_ends_in_words(predicate: MeasurementPredicate, place: int, damage: bytes) -> None:
    data = bytearray(predicate_json(predicate))
    at = place % len(data)
    data[at : at + 2] = damage
    try:
        again = parse_predicate(bytes(data), source="file")
    except GlassclaveError:
        return
    assert parse_predicate(predicate_json(again), source="file") == again
