"""Fuzzed: what a registry answers besides documents: status, headers, error bodies, challenges, addresses."""

from __future__ import annotations

from urllib3 import HTTPHeaderDict, HTTPResponse

from glassclave.clients.blob_transfer import upload_url
from glassclave.clients.http import Reply, joined, outages_of, refuse_outage, target_of
from glassclave.clients.registry_answers import next_page, refused, refused_manifest
from glassclave.clients.registry_auth import parse_challenge
from glassclave.oci.referrers import means_no_api
from tests.fuzz.words import words

URL = "https://registry.example/v2/o/r/referrers/sha256:0"
DIGEST = "sha256:" + "5a" * 32
KEPT = frozenset({"content-type", "content-length", "link", "location", "retry-after", "www-authenticate"})


def answers(data: bytes) -> None:
    """An answer as it comes over the wire: a status, headers, an empty line, a body."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    headers = HTTPHeaderDict()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() in KEPT:
            headers.add(name.strip().lower(), value.strip())
    number = int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 200

    def reply() -> Reply:
        with outages_of(target_of(URL)):  # two lengths that differ, say
            raw = HTTPResponse(body, headers, number, preload_content=False)
        return Reply(raw, target_of(URL), URL, lambda: 0.0)

    location = headers.get("location", "")
    words(lambda: next_page(reply()))
    words(lambda: refused(reply(), "it", "f"))
    words(lambda: refused_manifest(reply(), "f", by_tag=True))
    words(lambda: refuse_outage(reply()))
    words(lambda: parse_challenge(reply().header("www-authenticate")))
    words(lambda: target_of(joined(URL, location)))
    words(lambda: upload_url(URL, location, DIGEST))
    words(lambda: reply().body(1 << 16))
    words(lambda: means_no_api(number, reply().content_type))
