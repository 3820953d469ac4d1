"""What `init` finds out, refuses and writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from glassclave.errors import GlassclaveError
from glassclave.flows.init import (
    InitRequest,
    StarterFile,
    find_project,
    starter_files,
    write_files,
)
from glassclave.report.starter import BEGIN, END, Project, StarterImage

ACTION = f"acme/glassclave@{'a1' * 20}"
COMMIT = "b2" * 20


@dataclass(frozen=True)
class Said:
    """What git would say."""

    at: Path
    remote: str | None = "https://github.com/acme/Hello.git"
    branch: str | None = None

    def top(self, folder: Path) -> Path:
        return self.at

    def origin(self, folder: Path) -> str | None:
        return self.remote

    def default_branch(self, folder: Path) -> str | None:
        return self.branch


def dockerfiles(top: Path, *folders: str) -> None:
    for folder in folders:
        (top / folder).mkdir(parents=True, exist_ok=True)
        (top / folder / "Dockerfile").write_text("FROM scratch\n")


def find(top: Path, *, remote: str | None = "https://github.com/acme/Hello.git", **more: Any) -> Project:
    branch = more.pop("branch", None)
    request = InitRequest(folder=top, action=ACTION, checkout=COMMIT)
    return find_project(replace(request, **more), Said(top, remote, branch))


def refused(top: Path, **more: Any) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        find(top, **more)
    assert caught.value.hint or caught.value.code in ("init.name.twice", "init.images")
    return caught.value


def project(*images: StarterImage, branch: str = "main") -> Project:
    return Project(
        repository="acme/Hello",
        branch=branch,
        images=images or (StarterImage("hello", "."),),
        action=ACTION,
        checkout=f"actions/checkout@{COMMIT}",
    )


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/acme/Hello.git",
        "https://github.com/acme/Hello",
        "https://GitHub.com/acme/Hello/",
        "https://someone:secret@github.com/acme/Hello.git",
        "git@github.com:acme/Hello.git",
        "github.com:acme/Hello",
        "ssh://git@github.com/acme/Hello.git",
        "ssh://git@ssh.github.com:443/acme/Hello.git",
    ],
)
def test_the_repository_is_that_of_the_remote(tmp_path: Path, remote: str) -> None:
    dockerfiles(tmp_path, ".")
    assert find(tmp_path, remote=remote).repository == "acme/Hello"


@pytest.mark.parametrize(
    "remote",
    [
        None,
        "",
        "https://gitlab.com/acme/hello",
        "https://github.com.example/acme/hello",
        "https://example.com/github.com/acme/hello",
        "https://example.com#@github.com/acme/hello",
        "https://example.com\\@github.com/acme/hello",
        "http://github.com/acme/hello",
        "git@github.com.example:acme/hello",
        "https://github.com/acme",
        "https://github.com/acme/hello/world",
        "https://github.com/acme/..",
        "https://github.com/acme/.git",
        "https://github.com/acme/hello.git.git",
        'https://github.com/acme/hello"',
        "https://github.com/acme/hello\n",
        "https://github.com/acme/hello\nx: y",
        "https://github.com/acme/$(id)",
        "https://github.com/-acme/hello",
        "https://github.com/acmé/hello",
        "../hello",
    ],
)
def test_other_remotes_are_refused(tmp_path: Path, remote: str | None) -> None:
    dockerfiles(tmp_path, ".")
    assert refused(tmp_path, remote=remote).code == "init.repository"


def test_a_password_in_a_remote_is_not_shown(tmp_path: Path) -> None:
    dockerfiles(tmp_path, ".")
    error = refused(tmp_path, remote="https://me:secret@example.com/acme/hello")
    assert "secret" not in f"{error} {error.hint}"
    assert "example.com" in str(error)


def test_a_repository_that_is_named_stands_over_the_remote(tmp_path: Path) -> None:
    dockerfiles(tmp_path, ".")
    assert find(tmp_path, remote=None, repository="else/where").repository == "else/where"
    assert refused(tmp_path, repository="else").code == "init.repository"


def test_a_repository_that_no_registry_takes(tmp_path: Path) -> None:
    dockerfiles(tmp_path, "app")
    assert refused(tmp_path, remote="https://github.com/acme/a..b").code == "reference.syntax"


@pytest.mark.parametrize(
    "action",
    [
        None,
        "",
        "acme/glassclave",
        "acme/glassclave@v1",
        f"acme/glassclave@{'a1' * 20}0",
        f"acme/glassclave@{'A1' * 20}",
        f"acme/glassclave@{'a1' * 20}\n",
        f"glassclave@{'a1' * 20}",
        f"./here@{'a1' * 20}",
        f"acme/glass clave@{'a1' * 20}",
    ],
)
def test_the_action_is_a_whole_commit(tmp_path: Path, action: str | None) -> None:
    dockerfiles(tmp_path, ".")
    assert refused(tmp_path, action=action).code == "init.action"


@pytest.mark.parametrize(
    "checkout", ["v4", "main", f"acme/checkout@{COMMIT}", COMMIT[:39], f"{COMMIT}\n", ""]
)
def test_checkout_is_a_whole_commit(tmp_path: Path, checkout: str) -> None:
    dockerfiles(tmp_path, ".")
    assert refused(tmp_path, checkout=checkout).code == "init.checkout"


def test_checkout_is_what_the_workflows_use(tmp_path: Path) -> None:
    dockerfiles(tmp_path, ".")
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text(f"steps:\n  - uses: actions/checkout@{COMMIT} # v4\n")
    (folder / "b.yaml").write_text(
        f"steps:\n  # - uses: actions/checkout@{'c3' * 20}\n  - uses: actions/checkout@v4\n"
    )
    assert find(tmp_path, checkout=None).checkout == f"actions/checkout@{COMMIT}"
    (folder / "b.yaml").write_text(f"steps:\n  - name: x\n    uses: actions/checkout@{'c3' * 20}\n")
    assert "several" in refused(tmp_path, checkout=None).message
    assert find(tmp_path, checkout=f"actions/checkout@{COMMIT}").checkout == f"actions/checkout@{COMMIT}"


def test_checkout_that_is_nowhere_has_to_be_named(tmp_path: Path) -> None:
    dockerfiles(tmp_path, ".")
    assert refused(tmp_path, checkout=None).code == "init.checkout"


@pytest.mark.parametrize(("branch", "found"), [(None, "main"), ("trunk", "trunk"), ("a/b", "a/b")])
def test_the_default_branch(tmp_path: Path, branch: str | None, found: str) -> None:
    dockerfiles(tmp_path, ".")
    assert find(tmp_path, branch=branch).branch == found


@pytest.mark.parametrize(
    "branch", ['a"', "a'b", "a$(id)", "a{b", "a!", "a*", "-a", "a\nb", "a/-b", "a//b", "é"]
)
def test_branches_that_could_be_more_than_a_name(tmp_path: Path, branch: str) -> None:
    dockerfiles(tmp_path, ".")
    assert refused(tmp_path, branch=branch).code == "init.branch"


def test_only_where_a_repository_begins(tmp_path: Path) -> None:
    dockerfiles(tmp_path, "app")
    with pytest.raises(GlassclaveError) as caught:
        find_project(InitRequest(folder=tmp_path / "app", action=ACTION, checkout=COMMIT), Said(tmp_path))
    assert caught.value.code == "init.folder"


def test_images_are_named_after_their_folders(tmp_path: Path) -> None:
    dockerfiles(tmp_path, ".", "s/Api", "s/web", "t/api", "a/b/c/d")
    found = {(image.name, image.folder) for image in find(tmp_path).images}
    assert found == {
        ("hello", "."), ("s-api", "s/Api"), ("web", "s/web"), ("t-api", "t/api"), ("d", "a/b/c/d"),
    }  # fmt: skip


def test_for_arm64_each_image_is_built_too(tmp_path: Path) -> None:
    dockerfiles(tmp_path, "api", "web")
    (tmp_path / "boot" / "arm64").mkdir(parents=True)
    found = find(tmp_path, arm64_bootstrap="boot/arm64/")
    assert [(image.name, image.bootstrap) for image in found.images] == [
        ("api", None), ("api", "boot/arm64"), ("web", None), ("web", "boot/arm64"),
    ]  # fmt: skip
    assert [found.tag(image, "1") for image in found.images] == [
        "api-1",
        "api-1-arm64",
        "web-1",
        "web-1-arm64",
    ]


@pytest.mark.parametrize("folder", ["", "none", "../x", "/boot", "boot/../boot", "boot arm", "Dockerfile"])
def test_kernel_and_init_lie_in_the_repository(tmp_path: Path, folder: str) -> None:
    dockerfiles(tmp_path, ".")
    (tmp_path / "boot arm").mkdir()
    assert refused(tmp_path, arm64_bootstrap=folder).code == "init.bootstrap"


def test_what_is_not_searched(tmp_path: Path) -> None:
    dockerfiles(tmp_path, "app", "a/b/c/d/e", "node_modules/x", "x/vendor", ".devcontainer", "sub")
    (tmp_path / "sub" / ".git").write_text("gitdir: elsewhere\n")
    (tmp_path / "folder" / "Dockerfile").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "app")
    assert [image.folder for image in find(tmp_path).images] == ["app"]


def test_no_dockerfile(tmp_path: Path) -> None:
    assert refused(tmp_path).code == "init.dockerfile"


@pytest.mark.parametrize(
    "folder", ['a"b', "a b", "a\nb", "${{ x }}", "$(id)", "a'", "-a", "a:b", "é", "A" * 61, "a#b/c"]
)
def test_folders_that_could_be_more_than_a_name(tmp_path: Path, folder: str) -> None:
    dockerfiles(tmp_path, folder)
    assert refused(tmp_path).code == "init.name"


def test_an_odd_folder_without_a_dockerfile_does_no_harm(tmp_path: Path) -> None:
    dockerfiles(tmp_path, "app")
    (tmp_path / "a b").mkdir()
    assert len(find(tmp_path).images) == 1


def test_names_that_would_be_the_same(tmp_path: Path) -> None:
    dockerfiles(tmp_path, "a/b-c", "a-b/c", "x/b-c", "x/c")
    assert refused(tmp_path).code == "init.name.twice"


def test_too_many(tmp_path: Path) -> None:
    dockerfiles(tmp_path, *(f"a{number}" for number in range(65)))
    assert refused(tmp_path).code == "init.images"


SEVERAL = (StarterImage("api", "s/api"), StarterImage("web", "s/web"))


def states(written: Any) -> list[tuple[str, str]]:
    return [(file.path, file.state) for file in written]


def write(top: Path, *, force: bool = False, found: Project | None = None) -> list[tuple[str, str]]:
    return states(write_files(top, starter_files(found or project()), force=force))


def tree(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


WORKFLOW_FILE, POLICY_FILE = ".github/workflows/enclave.yml", "enclave-policy.toml"


def test_files_are_written_and_no_readme_is_made(tmp_path: Path) -> None:
    assert write(tmp_path) == [(WORKFLOW_FILE, "created"), (POLICY_FILE, "created")]
    assert set(tree(tmp_path)) == {WORKFLOW_FILE, POLICY_FILE}


@pytest.mark.parametrize("before", [b"", b"# a\n", b"# a"])
def test_a_readme_gets_the_section_once(tmp_path: Path, before: bytes) -> None:
    readme = tmp_path / "README.md"
    readme.write_bytes(before)
    assert write(tmp_path)[2] == ("README.md", "appended")
    first = readme.read_bytes()
    assert first.startswith(before)
    readme.write_bytes(first + b"after\n")
    assert write(tmp_path, force=True)[2] == ("README.md", "unchanged")
    assert readme.read_bytes() == first + b"after\n"
    write(tmp_path, force=True, found=project(*SEVERAL))
    again = readme.read_bytes()
    assert again.startswith(before) and again.endswith(b"-->\nafter\n") and b"api-VERSION" in again
    assert again.count(BEGIN.encode()) == again.count(END.encode()) == 1


@pytest.mark.parametrize("there", [WORKFLOW_FILE, POLICY_FILE, "README.md"])
def test_nothing_is_written_where_one_is_there(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_text(f"mine\n{BEGIN}\n{END}\n")
    before = tree(tmp_path)
    with pytest.raises(GlassclaveError) as caught:
        write(tmp_path)
    assert caught.value.code == "init.exists" and there in caught.value.message
    assert tree(tmp_path) == before
    assert (there, "replaced") in write(tmp_path, force=True)


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}", f"{BEGIN}{END}{END}"])
def test_markers_that_enclose_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(GlassclaveError) as caught:
        write(tmp_path, force=True)
    assert caught.value.code == "init.readme"
    assert set(tree(tmp_path)) == {"README.md"}


@pytest.mark.parametrize("link", [".github", ".github/workflows", WORKFLOW_FILE, POLICY_FILE, "README.md"])
def test_no_link_leads_out_of_the_repository(tmp_path: Path, link: str) -> None:
    top, out = tmp_path / "top", tmp_path / "out"
    (top / link).parent.mkdir(parents=True)
    out.mkdir()
    (top / link).symlink_to(out / "file" if "." in Path(link).name[1:] else out)
    with pytest.raises(GlassclaveError) as caught:
        write(top, force=True)
    assert caught.value.code == "init.link"
    assert tree(tmp_path) == {} and list(out.iterdir()) == []


def test_the_same_repository_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    folders = ["z", "a", "m/x", "m/b"]
    dockerfiles(first, *folders)
    dockerfiles(second, *reversed(folders))
    made: list[list[StarterFile]] = [list(starter_files(find(top))) for top in (first, second)]
    assert made[0] == made[1]
