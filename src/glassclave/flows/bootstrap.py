"""PCR1 of a bootstrap: what kernel, command line and the first ramdisk measure to, without an image."""

from __future__ import annotations

import hashlib

from glassclave.bootstrap import Bootstrap
from glassclave.digests import pcr_of_digest
from glassclave.ramdisk.bootstrap import bootstrap_ramdisk


def measure_bootstrap(bootstrap: Bootstrap) -> bytes:
    """PCR1, 48 bytes, of every image built with ``bootstrap`` (EIF specification, "PCRs")."""
    content = hashlib.sha384(bootstrap.kernel)
    content.update(bootstrap.cmdline)
    for piece in bootstrap_ramdisk(bootstrap.init, bootstrap.nsm_module):
        content.update(piece)
    return pcr_of_digest(content.digest())
