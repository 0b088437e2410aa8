"""XML that others wrote, as a tree: no document type and so no entities, no absurd depth. Pure.

The door for all XML that the agent reads: definitions from the hypervisor, which anybody may have written, and
packages from other products.
"""

import xml.etree.ElementTree as ET
from typing import Any
from xml.parsers import expat

DEEPEST = 100  # levels; libvirt's own definitions have about ten, and a backing chain adds one for each file


class BadXml(ValueError):
    """The text is no XML, or such as nobody honest writes."""


def tree(text: str | bytes, *, namespaces: bool = False) -> ET.Element:
    """The tree of an XML text. Raises BadXml.

    `namespaces`: names come with the namespace that they are of, as in `{urn:x}name`, whatever prefix the text has
    for it. Else they stay as they are written, so that a tree is written back as it was read.
    """
    builder = ET.TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise BadXml(f"elements are nested more than {DEEPEST} deep")
        builder.start(spelled(name), {spelled(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(spelled(name))

    def spelled(name: str) -> str:
        return f"{{{name}" if namespaces and "}" in name else name

    def refuse(*_: Any) -> None:
        raise BadXml("a document type has no place in it")

    parser = expat.ParserCreate(namespace_separator="}" if namespaces else None)
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, BadXml):
            raise
        raise BadXml(f"not XML: {error}") from error  # ValueError, LookupError: an encoding that there is not
    return builder.close()
