"""Where in its repository a built folder lies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.errors import ParseError
from glassclave.fields import Fields
from glassclave.provenance.container import ContainerClaim, container_record, parse_container
from tests.unit.provenance.predicates import SIGNED

CONTAINER = SIGNED.claimed.container or pytest.fail("the fixture has one")


def read(context: object) -> ContainerClaim:
    return parse_container(Fields(container_record(CONTAINER) | {"context": context}))


@pytest.mark.parametrize("context", [None, ".", "app", "services/a b/c", ".hidden", "a..b", "..."])
def test_a_folder_of_a_repository(context: str | None) -> None:
    assert read(context) == replace(CONTAINER, context=context)


@pytest.mark.parametrize(
    "context", ["", "/", "/app", "app/", "..", "../app", "a/../b", "./a", "a//b", "a\\b", "a\0"]
)
def test_a_path_that_leads_elsewhere_is_refused(context: str) -> None:
    with pytest.raises(ParseError) as caught:
        read(context)
    assert caught.value.code == "claims.context"


def test_it_is_there_always() -> None:
    record = container_record(CONTAINER)
    del record["context"]
    with pytest.raises(ParseError) as caught:
        parse_container(Fields(record))
    assert caught.value.code == "field.missing"
