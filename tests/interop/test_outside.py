"""What real builders' images show of what came from outside: the statement, the summary, the words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from glassclave.flows.outside import OutsideWatch
from glassclave.flows.source import SourceOptions, open_image
from glassclave.packages import dpkg, pip
from glassclave.progress import Silent
from tests.boot.enclave import busybox
from tests.images.debian import real_images
from tests.interop.peers import peer
from tests.interop.test_folder_builds import Folder, docker_engine, folder

pytestmark = pytest.mark.interop

__all__ = ["docker_engine", "folder"]  # fixtures

STATUS = """\
Package: curl
Status: install ok installed
Architecture: amd64
Version: 7.88.1-10

Package: libc6
Status: install ok installed
Multi-Arch: same
Architecture: amd64
Version: 2.36-9
"""
ADDED = "\nPackage: jq\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.6-2.1\n"
BASE = """\
FROM scratch AS shell
COPY bin /bin
ENV PATH=/bin
FROM shell
COPY status /var/lib/dpkg/status
COPY jq /jq
"""
DOCKERFILE = """\
FROM localhost/base:1 AS installed
RUN cat jq >> /var/lib/dpkg/status && sed -i s/7.88.1-10/7.88.1-11/ /var/lib/dpkg/status
FROM installed
COPY site-packages /usr/lib/python3/dist-packages
COPY node_modules /srv/node_modules
COPY installed /lib/apk/db/installed
COPY clone /srv/clone
RUN curl -fsS https://me:s3cret@example.org/tool -o /tool || true
CMD ["/bin/busybox", "httpd", "-f"]
"""
PACKAGES = {
    ("changed", "dpkg", "curl", "7.88.1-11", "7.88.1-10"),
    ("added", "dpkg", "jq", "1.6-2.1", None),
    ("added", "pip", "requests", "2.31.0", None),
    ("added", "npm", "left-pad", "1.3.0", None),
    ("added", "npm", "@acme/x", "2.0.0", None),
    ("added", "apk", "musl", "1.2.4-r2", None),
}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def base(folder: Folder) -> str:
    """A base image of two layers with a shell and dpkg's database, as buildah has it: its name."""
    context = folder.path.parent / "base"
    (context / "bin").mkdir(parents=True)
    (context / "bin" / "busybox").write_bytes(busybox())
    (context / "bin" / "busybox").chmod(0o755)
    for name in ("sh", "cat", "sed", "true"):
        (context / "bin" / name).symlink_to("busybox")
    write(context / "status", STATUS)
    write(context / "jq", ADDED)
    write(context / "Dockerfile", BASE)
    options = ["--format", "oci", "--layers=false", "--timestamp", "0", "--tag", "localhost/base:1"]
    _run(folder, "buildah", "bud", *options, str(context))
    return "localhost/base:1"


def _run(folder: Folder, program: str, *words: str) -> None:
    command: list[str | Path] = [peer(program), *words]
    done = subprocess.run(command, env=folder.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def put(folder: Path) -> str:
    """The Dockerfile and what it copies; the commit of the clone in it."""
    write(folder / "Dockerfile", DOCKERFILE)
    write(
        folder / "site-packages" / "requests-2.31.0.dist-info" / "METADATA",
        "Metadata-Version: 2.1\nName: requests\nVersion: 2.31.0\n",
    )
    for name, version in (("left-pad", "1.3.0"), ("@acme/x", "2.0.0")):
        content = json.dumps({"name": name, "version": version})
        write(folder / "node_modules" / name / "package.json", content)
    write(folder / "installed", "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\n\n")
    clone = folder / "clone"
    clone.mkdir()
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--allow-empty", "-mx"],
        ["remote", "add", "origin", "https://me:s3cret@example.org/x.git"],
    ):
        subprocess.run(["git", *words], cwd=clone, check=True, capture_output=True)
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True)
    return said.stdout.strip()


def check(outside: dict[str, Any], commit: str) -> None:
    packages = outside["packages"]
    found = {
        (one["change"], one["type"], one["name"], one["version"], one["before"]) for one in packages["list"]
    }
    assert found == PACKAGES
    assert (packages["complete"], packages["count"], outside["baseLayers"]) == (True, len(PACKAGES), 2)
    assert min(one["layer"] for one in packages["list"]) == 3
    (repository,) = outside["repositories"]["list"]
    assert (repository["path"], repository["commit"]) == ("/srv/clone/.git", commit)
    assert repository["remotes"] == ["https://example.org/x.git"]
    assert outside["commands"]["list"] == [{"line": 8, "text": "curl -fsS https://example.org/tool -o /tool"}]
    assert outside["unread"]["list"] == []


def test_buildah(folder: Folder, base: str) -> None:
    commit = put(folder.path)
    folder.built()
    claim = folder.claim
    assert [one["name"] for one in claim["bases"]] == [base]
    assert claim["bases"][0]["digest"].startswith("sha256:")
    check(claim["outside"], commit)
    saved = (folder.path.parent / "app.measurements.json").read_bytes()
    assert b"s3cret" not in saved
    folder.built()
    assert (folder.path.parent / "app.measurements.json").read_bytes() == saved


@pytest.mark.usefixtures("base")
def test_the_words(folder: Folder) -> None:
    put(folder.path)
    done = subprocess.run(
        [sys.executable, "-m", "glassclave", "build", str(folder.path), "-o", "app.eif"],
        cwd=folder.path.parent, env=folder.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    head = "from outside the repository: 1 base image, 6 package changes (1 apk, 2 dpkg, 2 npm, 1 pip),"
    assert f"{head} 1 git repository, 1 command that may fetch\n" in done.stdout
    assert "  ~ dpkg curl 7.88.1-10 -> 7.88.1-11 (layer 3)\n" in done.stdout
    described = subprocess.run(
        [sys.executable, "-m", "glassclave", "describe", "app.eif"],
        cwd=folder.path.parent, env=folder.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert head in described.stdout
    assert "  (app.measurements.json says so: signed by nobody)" in described.stdout


def test_the_actions_summary_names_them(folder: Folder, base: str, tmp_path: Path) -> None:
    commit = put(folder.path)
    environment = folder.environment | {
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_WORKSPACE": str(tmp_path),
        "GITHUB_REPOSITORY": "acme/hello",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "RUNNER_ARCH": "X64",
        "INPUT_DOCKER_BUILD_CONTEXT_PATH": "context",
        "INPUT_DOCKERFILE_PATH": "Dockerfile",
    }
    for step in ("check", "build", "summary"):
        command = [sys.executable, "-m", "glassclave", "action", step]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    said = (tmp_path / "summary").read_text(encoding="utf-8")
    section = said.partition("\n### From outside the repository\n")[2].replace("\\", "")
    for text in (f"image {base}", "+ dpkg jq 1.6-2.1", "~ dpkg curl 7.88.1-10 -&gt; 7.88.1-11"):
        assert text in section.replace(">", "&gt;")
    for text in ("+ pip requests 2.31.0", "+ npm @acme/x 2.0.0", "+ apk musl 1.2.4-r2", commit):
        assert text in section
    assert "may fetch, line 8: curl -fsS https://example.org/tool" in section
    assert "leaves no trace" in section


def test_a_docker_engine_tells_of_each_step(folder: Folder, docker_engine: str, base: str) -> None:
    archive = folder.path.parent / "base.tar"
    _run(folder, "buildah", "push", base, f"docker-archive:{archive}:{base}")
    with_engine = Folder(folder.path, folder.environment | {"DOCKER_HOST": docker_engine})
    _run(with_engine, "docker", "load", "--input", str(archive))
    commit = put(folder.path)
    with_engine.built("--builder", "docker")
    outside = folder.claim["outside"]
    check(outside, commit)
    layers = {one["name"]: one["layer"] for one in outside["packages"]["list"]}
    assert [layers[name] for name in ("jq", "requests", "left-pad", "musl")] == [3, 4, 5, 6]
    assert outside["layers"] >= 7


def test_a_real_debian_and_what_dpkg_says_of_it(tmp_path: Path) -> None:
    images = real_images()
    base = _layers(f"oci:{images.layout}:debian")
    statuses: list[bytes] = []
    watch = OutsideWatch(base, (), Silent())
    with open_image(f"oci:{images.layout}:service", SourceOptions(), Silent(), watch) as image:
        status = image.tree.nodes[b"var/lib/dpkg/status"]
        statuses.append(b"".join(map(bytes, status.content.chunks())))
        claim = watch.claim()
    assert claim.base_layers == len(base) == 1
    assert {one.type for one in claim.packages.items if one.change == "added"} == {"pip"}
    wanted = Path(__file__).parents[1] / "images" / "service" / "requirements.txt"
    pins = [line.split()[0] for line in wanted.read_text().splitlines() if "==" in line]
    found = {f"{one.name.lower().replace('_', '-')}=={one.version}" for one in claim.packages.items}
    assert {pin.lower() for pin in pins} <= found
    _compare_with_dpkg(statuses[0], tmp_path)


def _layers(source: str) -> tuple[str, ...]:
    with open_image(source, SourceOptions(), Silent()) as image:
        return image.config.layer_digests


def _compare_with_dpkg(status: bytes, folder: Path) -> None:
    """Names and versions as the program prints them."""
    (folder / "admin").mkdir()
    (folder / "admin" / "status").write_bytes(status)
    form = "${db:Status-Status} ${binary:Package} ${Version}\n"
    command = ["dpkg-query", f"--admindir={folder / 'admin'}", "-W", "-f", form]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        pytest.skip("no dpkg-query to compare with")
    wanted = {tuple(line.split()[1:]) for line in said.splitlines() if line.startswith("installed ")}
    found = dpkg.READER.read(b"var/lib/dpkg/status", status)
    assert {(one.name, one.version) for one in found} == wanted
    assert len(wanted) > 50


def test_this_pythons_distributions_as_importlib_says() -> None:
    """Another reader of the same files."""
    compared = 0
    for one in metadata.distributions():
        path = Path(str(one.locate_file(""))) / getattr(one, "_path", Path("nowhere"))
        file = path / "METADATA"
        if not file.is_file():
            continue
        (found,) = pip.READER.read(os.fsencode(file), file.read_bytes())
        assert (found.name, found.version) == (one.metadata["Name"], one.version)
        compared += 1
    assert compared > 20
