"""``glassclave init``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from glassclave.flows.init import README, InitRequest, find_project, starter_files, write_files
from glassclave.report.records import json_text


@click.command("init")
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.option(
    "--action", metavar="OWNER/NAME@COMMIT", help="The action of ours, by a commit that you have read."
)
@click.option(
    "--checkout",
    metavar="COMMIT",
    help="Commit of actions/checkout. Default: the one that the repository's workflows use.",
)
@click.option("--repo", metavar="OWNER/NAME", help="Default: what the remote origin says.")
@click.option(
    "--arm64-bootstrap", metavar="FOLDER", help="For arm64 too, with the kernel and init in this folder."
)
@click.option("--rebuild", is_flag=True, help="A workflow too that builds the newest release again, weekly.")
@click.option("--print", "show", is_flag=True, help="Print everything, write nothing.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    folder: Path,
    action: str | None,
    checkout: str | None,
    repo: str | None,
    arm64_bootstrap: str | None,
    rebuild: bool,
    show: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the workflow that publishes a repository's enclave images, and what their consumers need.

    One image for each Dockerfile, at most four folders deep. Repository and default branch are those of the
    remote origin. A README.md that is there gets a section for consumers, else the section is printed.
    """
    from glassclave.clients.git import Git

    request = InitRequest(
        folder=folder,
        action=action,
        checkout=checkout,
        repository=repo,
        arm64_bootstrap=arm64_bootstrap,
    )
    project = find_project(request, Git(os.environ))
    files = starter_files(project, rebuild=rebuild)
    written = files if show else write_files(folder, files, force=force)
    section = files[-1].content.decode()
    if as_json:
        listed = [
            {"path": file.path, "state": "printed" if show else file.state}
            | ({"content": file.content.decode()} if show else {})
            for file in written
        ]
        record = {
            "repository": project.repository,
            "branch": project.branch,
            "action": project.action,
            "checkout": project.checkout,
            "images": [
                {"name": image.name, "folder": image.folder, "bootstrap": image.bootstrap}
                for image in project.images
            ],
            "files": listed,
            "section": section,
        }
        click.echo(json_text(record))
        return
    if show:
        click.echo("\n".join(f"==> {file.path} <==\n{file.content.decode()}" for file in files), nl=False)
        return
    for file in written:
        click.echo(f"{file.state:10} {file.path}")
    click.echo(f"checkout   {project.checkout}")
    if all(file.path != README for file in written):
        click.echo(f"\nThere is no {README}. For your consumers:\n\n{section}")
    click.echo(f"next: commit, and push to {project.branch}, or push a tag")
