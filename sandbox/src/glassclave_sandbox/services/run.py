"""One run of the services: started, written down in a folder, stopped."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from glassclave.errors import UnavailableError
from glassclave_sandbox.names import require_aware
from glassclave_sandbox.services import trust
from glassclave_sandbox.services.registry import Registry
from glassclave_sandbox.services.server import Listener
from glassclave_sandbox.services.sigstore import Sigstore, make_sigstore, refusal


def _now() -> datetime:
    return datetime.now(UTC)


class Services:
    """A Sigstore and a registry on loopback, with keys made for this run; a context manager.

    ``state``: a folder for what clients need (trust files, PEMs, ``env.sh``) and for the registry's blobs.
    ``referrers_api``: whether the registry has one. ``registry``: whether there is a registry at all.
    ``port``: of the Sigstore; any free one by default. ``clock``: the time all services go by.
    """

    def __init__(
        self,
        state: Path,
        *,
        referrers_api: bool = True,
        registry: bool = True,
        port: int = 0,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        require_aware(clock())
        self.state = state
        self._clock = clock
        self._port = port
        self._oci = Registry(state / "registry", referrers_api=referrers_api) if registry else None
        self._sigstore: Sigstore = make_sigstore(clock)
        self._listeners: list[Listener] = []
        self.url = ""
        """``http://127.0.0.1:PORT`` of Fulcio, Rekor, the time-stamp authority and the token service."""
        self.registry = ""
        """``127.0.0.1:PORT`` of the registry, empty where there is none."""

    def __enter__(self) -> Self:
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            self._listen()
            self._write()
        except OSError as error:
            self.close()
            raise UnavailableError(
                "sandbox.state", f"cannot write to {self.state}: {error.strerror}"
            ) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops listening; the state folder stays."""
        while self._listeners:
            self._listeners.pop().close()

    @property
    def trust_config(self) -> Path:
        """``sandbox.json``, a ClientTrustConfig: whom to trust and where to sign."""
        return self.state / "sandbox.json"

    @property
    def trusted_root(self) -> Path:
        """``trusted_root.json``: whom to trust, alone."""
        return self.state / "trusted_root.json"

    @property
    def signing_config(self) -> Path:
        """``signing_config.json``: where to sign, alone."""
        return self.state / "signing_config.json"

    def token(self, **claims: str) -> str:
        """An identity token of a GitHub job; every keyword sets a claim, ``audience`` the reader."""
        return self._sigstore.tokens.token(claims)

    def requests(self) -> list[tuple[str, str, int]]:
        """(method, path with query, status) of every request to the registry so far, in order."""
        return self._oci.requests() if self._oci is not None else []

    def environment(self, **claims: str) -> dict[str, str]:
        """What a GitHub job's steps see, and where cosign finds this run's keys.

        With claims, tokens that are fetched through it carry them.
        """
        query = urlencode({"api-version": "2.0"} | claims)
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?{query}",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._sigstore.tokens.request_token,
            "SIGSTORE_ROOT_FILE": str(self._pem("fulcio")),
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(self._pem("ctlog")),
            "SIGSTORE_REKOR_PUBLIC_KEY": str(self._pem("rekor")),
            "SIGSTORE_TSA_CERTIFICATE_FILE": str(self._pem("tsa")),
        }

    def _pem(self, name: str) -> Path:
        return (self.state / f"{name}.pem").absolute()

    def _listen(self) -> None:
        sigstore = Listener(self._sigstore.answer, port=self._port, refusal=refusal)
        self._listeners.append(sigstore)
        self.url = f"http://{sigstore.address}"
        if self._oci is not None:
            registry = self._oci.listen()
            self._listeners.append(registry)
            self.registry = registry.address

    def _write(self) -> None:
        keys, at = self._sigstore, self._clock()
        root = trust.trusted_root(
            self.url,
            at=at,
            authorities=keys.authority.chain,
            certificate_log=keys.certificate_log,
            transparency_log=keys.transparency_log,
            timestamps=keys.timestamps.chain,
        )
        config = trust.signing_config(self.url, at=at)
        self.trusted_root.write_bytes(trust.encode(root))
        self.signing_config.write_bytes(trust.encode(config))
        self.trust_config.write_bytes(trust.encode(trust.client_trust_config(root, config)))
        self._pem("fulcio").write_bytes(_chain(keys.authority.chain))
        self._pem("fulcio-root").write_bytes(_chain(keys.authority.chain[-1:]))
        self._pem("ctlog").write_bytes(keys.certificate_log.pem)
        self._pem("rekor").write_bytes(keys.transparency_log.pem)
        self._pem("tsa").write_bytes(_chain(keys.timestamps.chain))

    def write_environment(self, **claims: str) -> Path:
        """``env.sh`` with `environment` and ``SANDBOX_REGISTRY``, to be sourced by a shell."""
        path = self.state / "env.sh"
        variables = self.environment(**claims)
        if self.registry:
            variables["SANDBOX_REGISTRY"] = self.registry
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        path.write_text("".join(lines), encoding="utf-8")
        return path


def _chain(certificates: tuple[x509.Certificate, ...]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
