"""A predicate with everything in it, and its two ends as JSON."""

from __future__ import annotations

from glassclave.provenance.claimed import (
    BootstrapClaim,
    BuildLogClaim,
    Claimed,
    Recipe,
    SourceClaim,
    Unmeasured,
)
from glassclave.provenance.container import ContainerClaim
from glassclave.provenance.outside import (
    CommandClaim,
    OutsideClaim,
    PackageChange,
    RepositoryClaim,
    UnreadClaim,
    listed,
)
from glassclave.provenance.predicate import FileDigest, Measured, MeasurementPredicate, SectionDigest
from glassclave.results import Measurements

OUTSIDE = OutsideClaim(
    layers=4,
    base_layers=2,
    packages=listed(
        (
            PackageChange(layer=3, change="added", type="dpkg", name="jq", version="1.6"),
            PackageChange(layer=3, change="changed", type="dpkg", name="curl", version="8", before="7"),
            PackageChange(layer=4, change="removed", type="pip", name="requests", version="2.31.0"),
        ),
        room=4096,
    ),
    repositories=listed(
        (
            RepositoryClaim(
                layer=3, path="/srv/.git", commit="7f" * 20, ref="refs/heads/main", remotes=("https://x/y",)
            ),
        ),
        room=4096,
    ),
    commands=listed((CommandClaim(line=7, text="curl -O https://example.org/x"),), room=4096),
    unread=listed(
        (UnreadClaim(layer=4, path="/var/lib/rpm/Packages", code="packages.rpm.form", reason="not read"),),
        room=4096,
    ),
)

SIGNED = MeasurementPredicate(
    measured=Measured(
        measurements=Measurements(pcr0=b"\0" * 48, pcr1=b"\1" * 48, pcr2=b"\2" * 48, pcr8=b"\x08" * 48),
        sections=(
            SectionDigest(type="kernel", size=5, sha384=b"k" * 48),
            SectionDigest(type="signature", size=7, sha384=b"s" * 48),
        ),
        eif=FileDigest(size=584, sha256=b"2" * 32, sha384=b"3" * 48),
        architecture="x86_64",
        eif_version=4,
        flags=0,
    ),
    claimed=Claimed(
        bootstrap=BootstrapClaim(name="glassclave 6.12.117-1", kernel_version="6.12.117", pcr1_owner="ours"),
        recipe=Recipe(
            layout="glassclave-1",
            mtime=315532800,
            normalizers=("pyc",),
            drop_file_capabilities=False,
            tool_name="glassclave",
            tool_version="0.1.0",
        ),
        source=SourceClaim(repository="https://github.com/acme/hello", commit="7f" * 20, ref="refs/tags/1.2"),
        unmeasured=Unmeasured(
            image_name="hello",
            image_version="1.2",
            build_time="1980-01-01T00:00:00+00:00",
            build_tool="glassclave",
            build_tool_version="0.1.0",
            operating_system="Linux",
            kernel_version="6.12.117",
        ),
        build_log=BuildLogClaim(size=9, sha256=b"l" * 32),
        container=ContainerClaim(
            builder_name="buildah",
            builder_version="1.28.2",
            context="services/hello",
            dockerfile="Dockerfile",
            dockerfile_sha256=b"d" * 32,
            target="final",
            build_args=(("V", "1"),),
            secrets=("token",),
            bases=(("debian:12", "sha256:" + "5a" * 32), ("local", None)),
            added=("https://example.org/x",),
            outside=OUTSIDE,
        ),
    ),
)
