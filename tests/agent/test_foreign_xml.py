"""XML from outside: read as it is written, and nothing in it is followed or runs wild."""

import pytest

from oms.agent.foreign_xml import BadXml, tree


def test_names_come_with_their_namespace_whatever_its_prefix() -> None:
    root = tree('<a:b xmlns:a="urn:x" a:c="1" d="2"><e xmlns="urn:y"/><f/></a:b>', namespaces=True)
    assert (root.tag, root.attrib) == ("{urn:x}b", {"{urn:x}c": "1", "d": "2"})
    assert [child.tag for child in root] == ["{urn:y}e", "f"]


def test_or_as_they_are_written() -> None:
    assert tree('<a:b xmlns:a="urn:x"/>').tag == "a:b"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_a_text_says_how_it_is_encoded(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><a>é</a>'.encode(encoding)
    assert tree(text).text == "é"


@pytest.mark.parametrize(
    "text",
    [
        "", "<a>", "plain", "<a><b></a></b>", "<a/><a/>", '<?xml version="1.0" encoding="no-such"?><a/>',
        '<?xml version="1.0" encoding="rot13"?><a/>', '<!DOCTYPE a><a/>', '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<!DOCTYPE a [<!ENTITY b "bbb">]><a>&b;</a>', "<a>&b;</a>", "<a>" * 101 + "</a>" * 101, "<a b='1' b='2'/>",
        "<x:a/>\0",
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_what_is_no_plain_xml_is_refused(text: str) -> None:
    with pytest.raises(BadXml):
        tree(text.encode(), namespaces=True)
