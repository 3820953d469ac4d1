"""Credentials of a registry as docker keeps them: ``config.json``, credential helpers, identity tokens.

The environment comes as a mapping. No secret stands in a ``repr``, an error or a log.
"""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from glassclave.errors import ParseError, UnavailableError
from glassclave.fields import Fields, parse_json
from glassclave.streams import read_small_file

MAX_CONFIG = 1 << 20
HELPER_SECONDS = 30.0
DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_NOT_FOUND = "credentials not found"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a user has for a registry: name and password, or a token to be exchanged (``identity_token``), or
    one to be sent as it is (``registry_token``)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


class HelperRunner(Protocol):
    """Runs a credential helper."""

    def get(self, helper: str, server: str) -> bytes | None:
        """The JSON that ``docker-credential-<helper> get`` prints for ``server``; ``None``: it knows none."""
        ...


class Credentials(Protocol):
    """Where credentials come from."""

    def find(self, registry: str) -> Credential | None:
        """The credential for ``registry`` (``host`` or ``host:port``), if there is one."""
        ...


class NoCredentials:
    """Asks as nobody: enough for everything public."""

    def find(self, registry: str) -> Credential | None:
        """Nothing."""


class SubprocessHelpers:
    """Runs the helpers that are on the ``PATH`` of ``environment``."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def get(self, helper: str, server: str) -> bytes | None:
        """See `HelperRunner`."""
        program = f"docker-credential-{helper}"
        try:
            finished = subprocess.run(
                [program, "get"],
                input=server.encode(),
                capture_output=True,
                timeout=HELPER_SECONDS,
                env=self._environment,
                check=False,
            )
        except FileNotFoundError as error:
            raise _helper_failed(program, "is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise _helper_failed(program, "does not answer in time") from error
        except OSError as error:
            raise _helper_failed(program, "cannot be started") from error
        if finished.returncode == 0:
            return finished.stdout
        # The protocol's word for "none" (docker/docker-credential-helpers); anything else is a failure.
        if _NOT_FOUND in finished.stdout.decode("utf-8", "replace"):
            return None
        raise _helper_failed(program, f"failed with exit status {finished.returncode}")


class DockerConfig:
    """``config.json`` of docker: ``credHelpers``, then ``credsStore``, then ``auths``.

    Read when it is first needed, so that a broken file does not stand in the way of public artifacts.
    """

    def __init__(self, environment: Mapping[str, str], helpers: HelperRunner | None = None) -> None:
        self._path = _config_path(environment)
        self._helpers = helpers or SubprocessHelpers(environment)
        self._config: Fields | None = None

    def find(self, registry: str) -> Credential | None:
        """See `Credentials`.

        Raises `ParseError` ``credentials.*``, `UnavailableError` ``credentials.helper``.
        """
        config = self._read()
        if config is None:
            return None
        keys = _keys_of(registry)
        per_registry = config.text_map("credHelpers")
        for key in keys:
            if key in per_registry:
                helper = per_registry[key]  # an empty name: this registry's login is in the file itself
                return self._ask(helper, key) if helper else self._stored(config, keys)
        store = config.optional_text("credsStore", limit=64)
        if store:
            for key in (_DOCKER_HUB_KEY,) if registry in DOCKER_HUB else (registry, f"https://{registry}"):
                found = self._ask(store, key)
                if found is not None:
                    return found
        return self._stored(config, keys)

    def _read(self) -> Fields | None:
        if self._config is None:
            if self._path is None or not self._path.exists():
                return None
            data = read_small_file(self._path, limit=MAX_CONFIG)
            source = str(self._path)
            self._config = Fields.of(parse_json(data, source=source), source=source)
        return self._config

    def _stored(self, config: Fields, keys: tuple[str, ...]) -> Credential | None:
        if not config.has("auths"):
            return None
        auths = config.child("auths")
        for key in keys:
            if auths.has(key):
                entry = auths.child(key)
                # With a credential store, docker leaves an empty object here.
                return _entry(entry) if entry.values else None
        return None

    def _ask(self, helper: str, server: str) -> Credential | None:
        if _HELPER_NAME.match(helper) is None:
            raise ParseError("credentials.helper-name", "names no credential helper", source=str(self._path))
        answer = self._helpers.get(helper, server)
        if answer is None:
            return None
        source = f"docker-credential-{helper}"
        fields = Fields.of(parse_json(answer, source=source, limit=1 << 16), source=source)
        username, secret = fields.text("Username"), fields.text("Secret")
        if not secret:
            return None
        # The protocol's name for "the secret is an identity token".
        if username == "<token>":
            return Credential(identity_token=secret)
        return Credential(username, secret)


def _config_path(environment: Mapping[str, str]) -> Path | None:
    folder = environment.get("DOCKER_CONFIG")
    if folder:
        return Path(folder) / "config.json"
    home = environment.get("HOME")
    return Path(home) / ".docker" / "config.json" if home else None


def _keys_of(registry: str) -> tuple[str, ...]:
    """The names under which docker and its kin keep credentials of ``registry``, the usual one first."""
    if registry in DOCKER_HUB:
        return (_DOCKER_HUB_KEY, "docker.io", "index.docker.io", "registry-1.docker.io")
    https = f"https://{registry}"
    return (registry, https, f"{https}/", f"{https}/v1/", f"{https}/v2/", f"{https}/v2")


def _entry(entry: Fields) -> Credential | None:
    username = entry.optional_text("username") or ""
    password = entry.optional_text("password") or ""
    pair = entry.optional_text("auth")
    if pair:
        try:
            text = base64.b64decode(pair, validate=True).decode("utf-8").rstrip("\0")
        except ValueError:  # no Base64, or no UTF-8
            raise _wrong_auth(entry) from None  # their text holds the secret
        username, colon, password = text.partition(":")
        if not colon:
            raise _wrong_auth(entry)
    credential = Credential(
        username,
        password,
        entry.optional_text("identitytoken") or "",
        entry.optional_text("registrytoken") or "",
    )
    known = credential.password or credential.identity_token or credential.registry_token
    return credential if known else None


def _wrong_auth(entry: Fields) -> ParseError:
    return ParseError(
        "credentials.auth",
        "is not the base64 of name:password",
        field=entry.at("auth"),
        source=entry.source,
        hint="log in to the registry again",
    )


def _helper_failed(program: str, why: str) -> UnavailableError:
    return UnavailableError(
        "credentials.helper",
        f"{why}",
        source=program,
        hint="config.json of docker names this credential helper",
    )
