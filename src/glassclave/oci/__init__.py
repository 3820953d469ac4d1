"""OCI references, manifests, referrers and our artifact: decisions over bytes, no network."""
