"""The whole `verify` process beside cosign's, both asking a registry on loopback."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import LeftOut, Table, in_turn, run_child
from benchmarks.setting import GLASSCLAVE, Setting, alone, peer
from glassclave_sandbox.services import Services

REPOSITORY = "acme/enclave"
ISSUER = "https://token.actions.githubusercontent.com"
COSIGN = "cosign 3 verify"
OURS = "glassclave verify"


def verify(setting: Setting) -> Table:
    """A small image, so that its download, which cosign has none of, weighs nothing."""
    cosign = peer("cosign-3")
    table = Table("verify, whole process")
    with setting.registry() as registry, Services(setting.folder / "state", registry=False) as services:
        reference = f"{registry.address}/o/r:1.0"
        ours = os.environ | services.environment()
        image = _published(setting.folder, reference, ours, services.trust_config)
        demands = [
            "--certificate-oidc-issuer",
            ISSUER,
            "--certificate-identity-regexp",
            f"https://github.com/{REPOSITORY}/",
        ]
        theirs: list[str | Path] = [cosign, "verify", "--trusted-root", services.trusted_root, *demands]
        judged: list[str | Path] = [GLASSCLAVE, "verify", reference, "--repo", REPOSITORY]
        judged += ["--trust-config", services.trust_config]
        environment = setting.environment()
        run_child(judged, environment=ours)
        found = in_turn(
            {
                COSIGN: lambda: run_child([*theirs, reference], environment=environment).seconds,
                OURS: lambda: run_child(judged, environment=ours).seconds,
            },
            setting.rounds(9),
        )
        memory = run_child(judged, environment=ours, watched=True)
    table.time(COSIGN, found[COSIGN])
    table.later(OURS, found[OURS], COSIGN, 0.4)
    table.memory(f"{OURS}: memory, anonymous and shared", memory.private_bytes)
    table.notes.append(
        f"The image has {image.stat().st_size / 1e6:.1f} MB. cosign judges one signature; `verify` judges it,"
        " the signed statement, every rule about the signer, and measures the image."
    )
    return table


def _published(folder: Path, reference: str, environment: dict[str, str], trust: Path) -> Path:
    root, image = folder / "root", folder / "app.eif"
    root.mkdir()
    (root / "file").write_bytes(b"small")
    run_child([GLASSCLAVE, "build", f"dir:{root}", "--cmd", "/file", "-o", image])
    publish = ["publish", str(image), reference, "--trust-config", str(trust)]
    try:
        run_child([GLASSCLAVE, *publish], environment=environment)
    except LeftOut as reason:
        raise LeftOut(f"nothing could be published: {reason}") from reason
    return image


if __name__ == "__main__":
    alone(verify)
