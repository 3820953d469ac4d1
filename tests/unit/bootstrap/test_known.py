import hashlib

import pytest

from glassclave.bootstrap import known_bootstraps, load_shipped, lookup_pcr1
from glassclave.bootstrap.known import parse_table
from glassclave.digests import pcr_of_digest
from glassclave.errors import ParseError
from glassclave.ramdisk.bootstrap import bootstrap_ramdisk

AWS = "0343b056cd8485ca7890ddd833476d78460aed2aa161548e4e26bedf321726696257d623e8805f3f605946b3d8b0c6aa"
ROW = f"""
[[bootstrap]]
pcr1 = "{AWS}"
owner = "o"
name = "n"
architecture = "a"
computed = true
source = "s"
"""


def pcr1_of_shipped() -> str:
    """PCR1 is over kernel, command line and first ramdisk, one after the other."""
    shipped = load_shipped("x86_64")
    content = hashlib.sha384(shipped.kernel + shipped.cmdline)
    for chunk in bootstrap_ramdisk(shipped.init):
        content.update(chunk)
    return pcr_of_digest(content.digest()).hex()


def test_the_shipped_bootstrap_is_known_as_ours() -> None:
    known = lookup_pcr1(pcr1_of_shipped())
    assert known is not None, f"known_pcr1.toml needs a row for {pcr1_of_shipped()}"
    assert (known.owner, known.architecture, known.computed) == ("Glassclave", "x86_64", True)
    assert known.name == load_shipped("x86_64").name


def test_aws_s_values_are_known_in_either_case() -> None:
    known = lookup_pcr1(AWS.upper())
    assert known is not None
    assert (known.owner, known.architecture) == ("AWS", "x86_64")
    assert known == lookup_pcr1(AWS)


def test_one_digit_more_or_less_is_another_bootstrap() -> None:
    assert lookup_pcr1("1" + AWS[1:]) is None
    with pytest.raises(ParseError) as caught:
        lookup_pcr1(AWS[2:])
    assert caught.value.code == "hex.size"


def test_every_row_says_where_it_comes_from() -> None:
    rows = known_bootstraps()
    assert len(rows) >= 5
    assert all(row.owner and row.name and row.source for row in rows)
    assert {row.architecture for row in rows} == {"x86_64", "aarch64"}
    assert all(len(row.pcr1) == 96 and set(row.pcr1) <= set("0123456789abcdef") for row in rows)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ROW + ROW, "bootstrap.known.duplicate"),
        (ROW.replace("[[", "["), "bootstrap.known.syntax"),
        (ROW.replace("computed = true", "computed = 1"), "field.type"),
        (ROW.replace('owner = "o"\n', ""), "field.missing"),
        (ROW.replace(AWS, AWS[:-1]), "hex.syntax"),
    ],
)
def test_a_broken_table_is_refused(text: str, code: str) -> None:
    assert len(parse_table(ROW, source="t")) == 1
    with pytest.raises(ParseError) as caught:
        parse_table(text, source="t")
    assert caught.value.code == code
