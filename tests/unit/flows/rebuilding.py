"""A published image of a folder, a git and a builder in memory, to build it again with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from glassclave.bootstrap import Bootstrap
from glassclave.flows.build import BuildRequest, build_image
from glassclave.flows.container import built_container
from glassclave.flows.rebuild import RebuildRequest, rebuild_image
from glassclave.flows.source import SourceOptions, open_image
from glassclave.flows.verify import VerifyOutcome
from glassclave.image.container import BuilderIdentity, ContainerBuild, OnLine
from glassclave.image.dockerfile import BaseImage
from glassclave.progress import Silent
from glassclave.provenance.claims import Claims
from glassclave.provenance.container import ContainerClaim
from glassclave.provenance.predicate import MeasurementPredicate, predicate_json
from glassclave.provenance.rebuild import Rebuilt
from glassclave.ramdisk.application import LayoutOptions
from tests.images.layout import Entry, write_layout
from tests.unit.flows.published import COMMIT, GOOD, Published
from tests.unit.flows.test_build import BOOTSTRAP

BASE = "base:1"


@dataclass
class CopyingBuilder:
    """`ContainerBuilder` whose image holds the folder's files, and what it was asked for."""

    identity: BuilderIdentity = field(default_factory=lambda: BuilderIdentity(name="memory", version="1"))
    base: str = "sha256:" + "11" * 32
    more: dict[str, bytes] = field(default_factory=dict)
    requests: list[ContainerBuild] = field(default_factory=list)

    def build(self, request: ContainerBuild, folder: Path, on_line: OnLine) -> str:
        self.requests.append(request)
        files = {path.name: path.read_bytes() for path in request.context.iterdir() if path.is_file()}
        layer = {name: Entry(data, mode=0o755) for name, data in (files | self.more).items()}
        config = {"Cmd": ["/app"], "Env": [f"{name}={value}" for name, value in request.build_args.items()]}
        write_layout(folder / "image", [layer], config)
        return f"oci:{folder / 'image'}"

    def digest_of(self, base: BaseImage) -> str | None:
        return self.base

    def layers_of(self, base: BaseImage) -> tuple[str, ...] | None:
        return None


@dataclass
class MemoryGit:
    """`Checkouts`: every address has the files of ``tree``."""

    tree: Path
    fetched: list[tuple[str, str]] = field(default_factory=list)
    checked: list[tuple[Path, str]] = field(default_factory=list)

    def check_clean(self, folder: Path, commit: str) -> None:
        self.checked.append((folder, commit))

    def checkout(self, source: str, commit: str, folder: Path) -> None:
        self.fetched.append((source, commit))
        shutil.copytree(self.tree, folder, symlinks=True)


@dataclass
class Release:
    """A repository whose folder ``app`` was built and published; ``again`` builds it once more."""

    place: Path
    builder: CopyingBuilder = field(default_factory=CopyingBuilder)
    bootstrap: Bootstrap = BOOTSTRAP

    def __post_init__(self) -> None:
        self.app.mkdir(parents=True)
        (self.app / "app").write_bytes(b"\x7fELF")
        (self.app / "Dockerfile").write_text(f"FROM {BASE}\nCOPY . /\n", encoding="ascii")
        self.git = MemoryGit(self.tree)

    @property
    def tree(self) -> Path:
        return self.place / "tree"

    @property
    def app(self) -> Path:
        return self.tree / "app"

    def build(self, layout: LayoutOptions | None = None, **changes: object) -> MeasurementPredicate:
        """As `glassclave build` does it."""
        request = replace(ContainerBuild(context=self.app), **changes)  # type: ignore[arg-type]  # any fields
        wanted = BuildRequest(output=self.place / "app.eif", name="app", layout=layout or LayoutOptions())
        with (
            built_container(
                request, self.builder, spool=None, on_line=lambda _line: None, progress=Silent(), place="app"
            ) as built,
            open_image(built.source, SourceOptions(), Silent()) as image,
        ):
            done = build_image(
                image.tree, image.config, self.bootstrap, replace(wanted, container=built.claim), Silent()
            )
        return done.predicate

    def publish(
        self,
        predicate: MeasurementPredicate,
        bend: Callable[[ContainerClaim], ContainerClaim | None] = lambda claim: claim,
        *,
        stated_by: Claims = GOOD,
    ) -> VerifyOutcome:
        """The positive verdict on it; ``bend`` changes what is claimed of the container image."""
        container = predicate.claimed.container
        assert container is not None
        bent = replace(predicate, claimed=replace(predicate.claimed, container=bend(container)))
        published = Published(
            (self.place / "app.eif").read_bytes(), measurements=lambda _own: predicate_json(bent)
        )
        published.sign()
        published.state(
            stated_by,
            bend=lambda own: replace(bent, claimed=replace(bent.claimed, source=own.claimed.source)),
        )
        outcome = published.verify(keep=True)
        assert outcome.verdict.passed, outcome.verdict.checks
        return outcome

    def again(self, outcome: VerifyOutcome, **changes: object) -> Rebuilt:
        """Build again; the image is let go of."""
        request = RebuildRequest(bootstrap=lambda _architecture: self.bootstrap)
        try:
            return rebuild_image(
                outcome,
                replace(request, **changes),  # type: ignore[arg-type]  # any fields
                git=self.git,
                choose_builder=lambda _name: self.builder,
                on_line=lambda _line: None,
                progress=Silent(),
            )
        finally:
            outcome.close()


__all__ = ["BASE", "COMMIT", "CopyingBuilder", "MemoryGit", "Release"]
