"""The identity that a command signs with, the same for every verb that signs keyless."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from glassclave.streams import read_small_file

if TYPE_CHECKING:
    from glassclave.clients.sigstore_trust import Trust

_TOKEN_LIMIT = 65536


def signing_token(trust: Trust, file: str | None) -> Callable[[], str]:
    """Gives the token of ``file`` (``--identity-token``), or the job's own where that is ``None``.

    Checked at once, before any work is done; a job's token is asked for anew each time, for it lives for
    minutes and the work in between may take longer. Raises what `check_signing` and `ambient_token` raise.
    """
    from glassclave.clients.job_token import ambient_token
    from glassclave.clients.sigstore_signer import check_signing

    if file is None:
        check_signing(trust, ambient_token())
        return ambient_token
    token = read_small_file(Path(file), limit=_TOKEN_LIMIT).decode("ascii", "replace").strip()
    check_signing(trust, token)
    return lambda: token
