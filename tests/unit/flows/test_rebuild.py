"""A published image built again: from which commit, by which recipe, and what is told of the outcome."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from glassclave.errors import GlassclaveError, UnavailableError, UsageError
from glassclave.flows.rebuild import rebuild_predicate
from glassclave.image.container import BuilderIdentity
from glassclave.provenance.claims import Claims
from glassclave.provenance.container import ContainerClaim
from glassclave.provenance.rebuild import Surrounding
from glassclave.ramdisk.application import LayoutOptions
from tests.unit.flows.published import GOOD
from tests.unit.flows.rebuilding import COMMIT, Release
from tests.unit.flows.test_build import BOOTSTRAP


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def error_of(action: Callable[[], object]) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        action()
    return caught.value


def test_the_commit_of_the_certificate_is_fetched_from_its_repository(release: Release) -> None:
    rebuilt = release.again(release.publish(release.build()))
    assert release.git.fetched == [("https://github.com/acme/hello", COMMIT)]
    assert release.git.checked == []
    assert rebuilt.equal
    assert (rebuilt.files, rebuilt.why_not, rebuilt.surroundings) == ((), None, ())
    assert (rebuilt.repository, rebuilt.commit, rebuilt.folder) == ("acme/hello", COMMIT, "app")


def test_of_two_runs_the_commit_is_that_of_the_one_that_says_how_it_was_built(release: Release) -> None:
    other = replace(GOOD, source_repository_digest="ab" * 20)
    outcome = release.publish(release.build(), stated_by=other)
    assert outcome.verdict.signature is not None
    assert outcome.verdict.signature.claims.source_repository_digest == COMMIT
    rebuilt = release.again(outcome)
    assert release.git.fetched == [("https://github.com/acme/hello", "ab" * 20)]
    assert rebuild_predicate(rebuilt).commit == "ab" * 20


def test_a_given_checkout_is_looked_at_and_never_built_in(release: Release) -> None:
    outcome = release.publish(release.build())
    assert release.again(outcome, source=release.place / "mine").equal
    assert release.git.checked == [(release.place / "mine", COMMIT)]
    assert release.git.fetched == [(str(release.place / "mine"), COMMIT)]
    assert not release.builder.requests[-1].context.is_relative_to(release.place / "mine")


def test_everything_is_built_as_it_is_claimed(release: Release) -> None:
    (release.tree / "Other").write_text("FROM scratch AS final\n", encoding="ascii")
    predicate = release.build(
        LayoutOptions(mtime=7, drop_file_capabilities=True),
        dockerfile=release.tree / "Other",
        build_args={"A": "b"},
        target="final",
    )
    rebuilt = release.again(release.publish(predicate))
    assert rebuilt.equal, rebuilt
    asked = release.builder.requests[-1]
    assert (dict(asked.build_args), asked.target, asked.architecture) == ({"A": "b"}, "final", "amd64")
    assert asked.context.name == "app"
    assert asked.file.name == "Other"


@pytest.mark.parametrize("layout", [LayoutOptions(mtime=None), LayoutOptions(mtime=8)])
def test_another_recipe_gives_other_registers(release: Release, layout: LayoutOptions) -> None:
    """That the recipe of the statement is used is seen by leaving it out."""
    predicate = release.build(layout)
    usual = release.build()
    assert predicate.measured.measurements.pcr2 != usual.measured.measurements.pcr2
    assert release.again(release.publish(release.build(layout))).equal


def test_one_file_that_changed_is_named(release: Release) -> None:
    outcome = release.publish(release.build())
    release.builder.more["stamp"] = b"now"
    rebuilt = release.again(outcome)
    assert not rebuilt.equal
    assert rebuilt.different_registers == (0, 2)
    assert [(one.path, one.what) for one in rebuilt.files or ()] == [("/stamp", "only in the rebuilt image")]


def test_what_was_not_the_same_around_it_is_told(release: Release) -> None:
    outcome = release.publish(release.build())
    release.builder.identity = BuilderIdentity(name="memory", version="2")
    release.builder.base = "sha256:" + "22" * 32
    (release.app / "Dockerfile").write_text("FROM base:1\n", encoding="ascii")
    rebuilt = release.again(outcome)
    assert [one.what for one in rebuilt.surroundings] == ["builder", "Dockerfile", "base base:1"]
    assert Surrounding(what="builder", stated="memory 1", found="memory 2") in rebuilt.surroundings
    assert rebuilt.surroundings[2].stated == "sha256:" + "11" * 32
    assert rebuilt.surroundings[2].found == "sha256:" + "22" * 32


def test_a_negative_verdict_is_never_built(release: Release) -> None:
    outcome = release.publish(release.build())
    for refused in (
        replace(outcome, predicate=None),
        replace(outcome, image=None),
        replace(outcome, stated_by=None),
    ):
        with pytest.raises(ValueError, match="no positive verdict"):
            release.again(refused)
    assert release.git.fetched == []


@pytest.mark.parametrize(
    "claims",
    [
        replace(GOOD, source_repository_digest=None),
        replace(GOOD, source_repository_digest="main"),
        replace(GOOD, source_repository_digest="--upload-pack=x"),
        replace(GOOD, source_repository_uri=None),
        replace(GOOD, source_repository_uri="https://github.com/acme/hello/../evil"),
        replace(GOOD, source_repository_uri="https://example.org/acme/hello"),
    ],
)
def test_a_certificate_without_a_commit_names_nothing_to_build(release: Release, claims: Claims) -> None:
    outcome = replace(release.publish(release.build()), stated_by=claims)
    assert error_of(lambda: release.again(outcome)).code == "rebuild.source"
    assert release.git.fetched == []


def test_the_folder_is_the_recorded_one_or_a_given_one(release: Release) -> None:
    predicate = release.build()

    def unknown(claim: ContainerClaim) -> ContainerClaim:
        return replace(claim, context=None)

    error = error_of(lambda: release.again(release.publish(predicate, unknown)))
    assert (error.code, isinstance(error, UsageError)) == ("rebuild.folder", True)
    assert "--folder" in (error.hint or "")
    rebuilt = release.again(release.publish(predicate, unknown), folder="app")
    assert rebuilt.equal
    assert [one.what for one in rebuilt.surroundings] == ["folder"]
    for folder in ("../app", "/app", "", "app/..", "app//x", "a\\b"):
        error = error_of(lambda given=folder: release.again(release.publish(predicate), folder=given))  # type: ignore[misc]
        assert error.code == "rebuild.folder", folder
    assert error_of(lambda: release.again(release.publish(predicate), folder="gone")).code == "rebuild.folder"


def test_a_link_does_not_lead_out_of_the_checkout(release: Release, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "Dockerfile").write_text("FROM scratch\n", encoding="ascii")
    os.symlink(outside, release.tree / "link")
    predicate = release.build()
    error = error_of(lambda: release.again(release.publish(predicate), folder="link"))
    assert (error.code, isinstance(error, UnavailableError)) == ("rebuild.folder", True)
    (release.app / "Dockerfile").unlink()
    os.symlink(outside / "Dockerfile", release.app / "Dockerfile")
    rebuilt_from = len(release.builder.requests)
    error = error_of(lambda: release.again(release.publish(predicate)))
    assert error.code == "rebuild.dockerfile"
    assert len(release.builder.requests) == rebuilt_from


def test_kernel_and_init_must_be_those_of_the_image(release: Release) -> None:
    outcome = release.publish(release.build())
    release.bootstrap = replace(BOOTSTRAP, kernel=b"another kernel")
    error = error_of(lambda: release.again(outcome))
    assert (error.code, isinstance(error, UsageError)) == ("rebuild.bootstrap", True)
    assert "than ours" in error.message
    outcome = replace(release.publish(Release(release.place / "2").build()))
    assert "than those given" in error_of(lambda: release.again(outcome, given=True)).message
    assert release.git.fetched == []


@pytest.mark.parametrize(
    ("used", "given", "passes"),
    [
        ((), (), True),
        (("token",), (), False),
        (("token",), ("id=token,src=x",), True),
        (("token",), ("id=other,src=x",), False),
        ((), ("id=token,src=x",), False),
        (("a", "token"), ("id=token,src=x",), False),
    ],
)
def test_secrets_must_be_given_as_they_were(
    release: Release, used: tuple[str, ...], given: tuple[str, ...], passes: bool
) -> None:
    outcome = release.publish(release.build(), lambda claim: replace(claim, secrets=used))
    if passes:
        assert release.again(outcome, secrets=given).equal
        assert release.builder.requests[-1].secrets == given
        return
    error = error_of(lambda: release.again(outcome, secrets=given))
    assert (error.code, isinstance(error, UsageError)) == ("rebuild.secrets", True)
    assert release.git.fetched == []


def test_what_was_not_built_from_a_dockerfile_is_not_built(release: Release) -> None:
    outcome = release.publish(release.build(), lambda _claim: None)
    assert error_of(lambda: release.again(outcome)).code == "rebuild.container"


@pytest.mark.parametrize("change", [{"layout": "glassclave-2"}, {"normalizers": ("pyc", "more")}])
def test_another_recipe_than_this_version_writes_is_not_guessed(
    release: Release, change: dict[str, object]
) -> None:
    predicate = release.build()
    recipe = replace(predicate.claimed.recipe, **change)  # type: ignore[arg-type]
    bent = replace(predicate, claimed=replace(predicate.claimed, recipe=recipe))
    error = error_of(lambda: release.again(release.publish(bent)))
    assert (error.code, isinstance(error, UnavailableError)) == ("rebuild.layout", True)


def test_what_differs_cannot_be_signed(release: Release) -> None:
    equal = release.again(release.publish(release.build()))
    predicate = rebuild_predicate(equal)
    assert predicate.measurements.of_image == equal.found.of_image
    assert predicate.measurements.pcr8 is None
    assert (predicate.repository, predicate.commit) == ("https://github.com/acme/hello", COMMIT)
    assert predicate.builder_name == "memory"
    for name in ("pcr0", "pcr1", "pcr2"):
        other = replace(equal, found=replace(equal.found, **{name: b"x" * 48}))
        with pytest.raises(ValueError, match="not signed"):
            rebuild_predicate(other)
    signed = replace(equal, published=replace(equal.published, pcr8=b"8" * 48))
    assert rebuild_predicate(signed) == predicate
