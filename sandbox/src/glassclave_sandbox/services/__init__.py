"""Local services to publish to and be judged by: a Sigstore and an OCI registry, in one process."""

from glassclave_sandbox.services.run import Services

__all__ = ["Services"]
