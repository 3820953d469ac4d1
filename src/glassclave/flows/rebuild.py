"""A published image built again from the commit that its certificate names, and what came out.

What is rebuilt is what `verify` accepts: the commit, the folder and the recipe come from a signed statement
whose signer passes the policy, never from a tag, an annotation or a file beside the image.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from glassclave import __version__
from glassclave.bootstrap import Bootstrap
from glassclave.eif.reader import read_image
from glassclave.errors import ParseError, UnavailableError, UsageError
from glassclave.flows.bootstrap import measure_bootstrap
from glassclave.flows.build import BUILD_TOOL, BuildRequest, build_image
from glassclave.flows.compare import differing_files
from glassclave.flows.container import built_container, secret_id
from glassclave.flows.measure import measure_file
from glassclave.flows.source import SourceOptions, open_image
from glassclave.flows.verify import VerifyOutcome
from glassclave.image.container import ContainerBuild, ContainerBuilder, OnLine
from glassclave.image.dockerfile import MAX_SIZE
from glassclave.progress import Progress
from glassclave.provenance.claims import Claims, repository_of
from glassclave.provenance.container import ContainerClaim, is_context
from glassclave.provenance.predicate import MeasurementPredicate
from glassclave.provenance.rebuild import RebuildPredicate, Rebuilt, Surrounding
from glassclave.ramdisk.application import LAYOUT_NAME, LayoutOptions, applied_rules
from glassclave.report.links import commit_link
from glassclave.results import FileDifference, Measurements
from glassclave.streams import FileSource, open_source, read_small_file

GITHUB = "https://github.com/"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NAMES = ("published image", "rebuilt image")


class Checkouts(Protocol):
    """What is asked of git."""

    def check_clean(self, folder: Path, commit: str) -> None:
        """That ``folder`` is a clean checkout of ``commit``. `UsageError` ``git.head``, ``git.dirty``."""
        ...

    def checkout(self, source: str, commit: str, folder: Path) -> None:
        """The files of ``commit`` from ``source`` in ``folder``, which is made."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildRequest:
    """How to build again. ``source``: a checkout on this machine, ``None``: it is fetched from GitHub.

    ``folder``: instead of the recorded one. ``bootstrap``: gives kernel and init for an architecture;
    ``given``: whether they are another's than ours. ``secrets``: as the builder takes them.
    """

    source: Path | None = None
    folder: str | None = None
    bootstrap: Callable[[str], Bootstrap]
    given: bool = False
    secrets: tuple[str, ...] = ()
    spool: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What the statement claims of the build, checked against what can be done here."""

    repository: str
    commit: str
    folder: str
    architecture: str
    container: ContainerClaim
    layout: LayoutOptions
    bootstrap: Bootstrap


def rebuild_image(
    outcome: VerifyOutcome,
    request: RebuildRequest,
    *,
    git: Checkouts,
    choose_builder: Callable[[str], ContainerBuilder],
    on_line: OnLine,
    progress: Progress,
) -> Rebuilt:
    """Build again what ``outcome``, which must be positive, is about, and compare.

    ``choose_builder`` gets the name of the one that was used. Raises `UsageError` ``rebuild.*``, ``git.*``
    where an option is missing or contradicts the statement, `UnavailableError` ``rebuild.*`` and the errors
    of git and build where it cannot be done: nothing is said about the image then.
    """
    if outcome.image is None or outcome.predicate is None or outcome.stated_by is None:
        raise ValueError("there is no positive verdict")
    plan = _plan(outcome.predicate, outcome.stated_by, request)
    with tempfile.TemporaryDirectory(dir=request.spool, prefix="glassclave-rebuild-") as name:
        place = Path(name)
        checkout = _checkout(plan, request, git, place / "source", progress)
        output = place / "rebuilt.eif"
        claim = _build(plan, request, checkout, output, choose_builder, on_line, progress)
        return _compare(plan, outcome.predicate, outcome.image, output, claim, progress)


def _plan(predicate: MeasurementPredicate, claims: Claims, request: RebuildRequest) -> _Plan:
    repository, commit = repository_of(claims.source_repository_uri or ""), claims.source_repository_digest
    if repository is None or commit is None or commit_link(claims) is None:
        raise UnavailableError("rebuild.source", "the certificate names no commit of a repository on GitHub")
    container = predicate.claimed.container
    if container is None:
        raise UnavailableError(
            "rebuild.container",
            "the image was not built from a folder with a Dockerfile, so its statement does not say how",
            hint="build it as its provider says, and compare the PCRs that glassclave build prints",
        )
    bootstrap = request.bootstrap(predicate.measured.architecture)
    _check_bootstrap(predicate, bootstrap, given=request.given)
    _check_secrets(container, request.secrets)
    return _Plan(
        repository=repository,
        commit=commit,
        folder=_folder(container, request.folder),
        architecture=ARCHITECTURES[predicate.measured.architecture],
        container=container,
        layout=_layout(predicate),
        bootstrap=bootstrap,
    )


def _check_bootstrap(predicate: MeasurementPredicate, bootstrap: Bootstrap, *, given: bool) -> None:
    """PCR1 is kernel and init alone: with others nothing could come out equal, whatever the source."""
    if measure_bootstrap(bootstrap) == predicate.measured.measurements.pcr1:
        return
    name = predicate.claimed.bootstrap.name
    raise UsageError(
        "rebuild.bootstrap",
        f"the image starts with another kernel and init than {'those given' if given else 'ours'}"
        f" ({bootstrap.name}); its statement calls them {name[:200]!r}",
        field="PCR1",
        hint="--bootstrap DIR with that kernel and init, or the release of glassclave that shipped them",
    )


def _check_secrets(container: ContainerClaim, given: Sequence[str]) -> None:
    wanted, found = set(container.secrets), {secret_id(secret) for secret in given}
    if wanted != found:
        named = ", ".join(sorted(wanted)) or "none"
        raise UsageError(
            "rebuild.secrets",
            f"the build used these secrets: {named[:300]}; given: {', '.join(sorted(found))[:300] or 'none'}",
            hint="--secret id=NAME,src=FILE for each of them, and for no other",
        )


def _layout(predicate: MeasurementPredicate) -> LayoutOptions:
    recipe = predicate.claimed.recipe
    options = LayoutOptions(mtime=recipe.mtime, drop_file_capabilities=recipe.drop_file_capabilities)
    rules = tuple(rule.id for rule in applied_rules(options))
    if (recipe.layout, recipe.normalizers) != (LAYOUT_NAME, rules):
        raise UnavailableError(
            "rebuild.layout",
            f"was laid out by another recipe ({recipe.layout[:80]!r}) than this version writes",
            hint=f"use {recipe.tool_name[:80]} {recipe.tool_version[:80]}, which built it",
        )
    return options


def _folder(container: ContainerClaim, given: str | None) -> str:
    folder = container.context if given is None else given
    if folder is None:
        raise UsageError(
            "rebuild.folder",
            "the statement does not say which folder of the repository was built",
            hint="--folder PATH, from the top of the repository; . for the top itself",
        )
    if not is_context(folder):
        raise UsageError("rebuild.folder", "is no path below the top of a repository", field=folder[:200])
    return folder


def _checkout(plan: _Plan, request: RebuildRequest, git: Checkouts, folder: Path, progress: Progress) -> Path:
    """The commit's files and nothing else: what lies ignored in somebody's checkout is not built either."""
    if request.source is None:
        source = f"{GITHUB}{plan.repository}"
    else:
        git.check_clean(request.source, plan.commit)
        source = str(request.source.absolute())
    git.checkout(source, plan.commit, folder)
    progress.step("source", f"{plan.repository} at {plan.commit}, folder {plan.folder}")
    return folder


def _build(
    plan: _Plan,
    request: RebuildRequest,
    checkout: Path,
    output: Path,
    choose_builder: Callable[[str], ContainerBuilder],
    on_line: OnLine,
    progress: Progress,
) -> ContainerClaim:
    container = plan.container
    context = _inside(checkout, checkout / plan.folder, "rebuild.folder")
    asked = ContainerBuild(
        context=context,
        dockerfile=_dockerfile(checkout, context, container),
        build_args=dict(container.build_args),
        secrets=request.secrets,
        target=container.target,
        architecture=plan.architecture,
    )
    builder = choose_builder(container.builder_name)
    options = SourceOptions(architecture=plan.architecture, spool=request.spool)
    with (
        built_container(
            asked, builder, spool=request.spool, on_line=on_line, progress=progress, place=plan.folder
        ) as built,
        open_image(built.source, options, progress) as image,
    ):
        wanted = BuildRequest(output=output, name="rebuilt", layout=plan.layout, container=built.claim)
        build_image(image.tree, image.config, plan.bootstrap, wanted, progress)
    return built.claim


def _inside(checkout: Path, path: Path, code: str) -> Path:
    """A folder of the checkout; a link must not lead the build out of it."""
    if not path.is_dir() or not path.resolve().is_relative_to(checkout.resolve()):
        raise UnavailableError(
            code, "is no folder of the repository at that commit", field=str(path.relative_to(checkout))
        )
    return path


def _dockerfile(checkout: Path, context: Path, container: ContainerClaim) -> Path:
    """The recorded one, in the folder or in one above it (which is not recorded), known by its digest."""
    above = [parent for parent in (context, *context.parents) if parent.is_relative_to(checkout)]
    found = [path for folder in above if (path := folder / container.dockerfile).is_file()]
    kept = [path for path in found if path.resolve().is_relative_to(checkout.resolve())]
    right = [path for path in kept if _sha256(path) == container.dockerfile_sha256]
    if not kept:
        raise UnavailableError(
            "rebuild.dockerfile",
            "is no file of the repository at that commit",
            field=container.dockerfile[:200],
            hint="--folder PATH where the statement names another folder than was built",
        )
    return (right or kept)[0]


def _sha256(path: Path) -> bytes:
    return hashlib.sha256(read_small_file(path, limit=MAX_SIZE)).digest()


def _compare(
    plan: _Plan,
    predicate: MeasurementPredicate,
    image: BinaryIO,
    output: Path,
    claim: ContainerClaim,
    progress: Progress,
) -> Rebuilt:
    published = FileSource(image, name=_NAMES[0])
    with open_source(output) as rebuilt:
        measured = [
            measure_file(source, name=name, progress=progress).measured.measurements
            for source, name in zip((published, rebuilt), _NAMES, strict=True)
        ]
        files: tuple[FileDifference, ...] | None = ()
        why_not = None
        if measured[0].of_image != measured[1].of_image:
            try:
                files = differing_files(
                    read_image(published, name=_NAMES[0]),
                    read_image(rebuilt, name=_NAMES[1]),
                    names=_NAMES,
                )
            except ParseError as error:
                files, why_not = None, f"{error.message} [{error.code}]"
    return Rebuilt(
        repository=plan.repository,
        commit=plan.commit,
        folder=plan.folder,
        published=measured[0],
        found=measured[1],
        files=files,
        why_not=why_not,
        surroundings=tuple(_surroundings(predicate, claim)),
        container=claim,
    )


def _surroundings(predicate: MeasurementPredicate, found: ContainerClaim) -> list[Surrounding]:
    """What was not the same around the two builds, as far as both builders told."""
    stated, recipe = predicate.claimed.container, predicate.claimed.recipe
    if stated is None:
        return []
    pairs: list[tuple[str, str | None, str | None]] = [
        ("tool", f"{recipe.tool_name} {recipe.tool_version}", f"{BUILD_TOOL} {__version__}"),
        (
            "builder",
            f"{stated.builder_name} {stated.builder_version}",
            f"{found.builder_name} {found.builder_version}",
        ),
        ("Dockerfile", stated.dockerfile_sha256.hex(), found.dockerfile_sha256.hex()),
        ("folder", stated.context, found.context),
    ]
    before, after = dict(stated.bases), dict(found.bases)
    pairs += [(f"base {name}", before.get(name), after.get(name)) for name in {**before, **after}]
    return [Surrounding(what=what, stated=one, found=other) for what, one, other in pairs if one != other]


def rebuild_predicate(rebuilt: Rebuilt) -> RebuildPredicate:
    """What may be signed of it. Only equality is: `ValueError` for anything else."""
    if not rebuilt.equal:
        raise ValueError("what differs is not signed")
    return RebuildPredicate(
        measurements=Measurements(pcr0=rebuilt.found.pcr0, pcr1=rebuilt.found.pcr1, pcr2=rebuilt.found.pcr2),
        repository=f"{GITHUB}{rebuilt.repository}",
        commit=rebuilt.commit,
        tool_name=BUILD_TOOL,
        tool_version=__version__,
        builder_name=rebuilt.container.builder_name,
        builder_version=rebuilt.container.builder_version,
        surroundings=rebuilt.surroundings,
    )
