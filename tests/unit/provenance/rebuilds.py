"""A rebuild's predicate with everything in it."""

from __future__ import annotations

from glassclave.provenance.rebuild import RebuildPredicate, Surrounding
from glassclave.results import Measurements

REBUILD = RebuildPredicate(
    measurements=Measurements(pcr0=b"\0" * 48, pcr1=b"\1" * 48, pcr2=b"\2" * 48),
    repository="https://github.com/acme/hello",
    commit="7f3e" * 10,
    tool_name="glassclave",
    tool_version="0.1.0",
    builder_name="buildah",
    builder_version="1.28.2",
    surroundings=(Surrounding(what="base debian:12", stated="sha256:" + "5a" * 32, found=None),),
)
