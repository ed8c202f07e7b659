"""Pascal VOC's XML: parsed with line numbers, without document types and entities (which can grow at will)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from admlops.errors import ConversionError


@dataclass
class XmlElement:
    """One element.

    Attributes:
        tag: Its name.
        line: Where it begins, from 1.
        text: Its text, children's excluded, without the white space around it.
        children: Elements in it.
    """

    tag: str
    line: int
    text: str = ""
    children: list[XmlElement] = field(default_factory=list)

    def child(self, tag: str) -> XmlElement | None:
        """Find the first child of a name.

        Args:
            tag: The name.

        Returns:
            The child, or None.
        """
        return next((child for child in self.children if child.tag == tag), None)


def read_xml(path: Path) -> XmlElement:
    """Read an XML file.

    Args:
        path: The file.

    Returns:
        Its outermost element.

    Raises:
        ConversionError: Truncated, malformed, or with a document type; names file and line.
    """
    parser = expat.ParserCreate()
    outermost = XmlElement("", 0)
    stack = [outermost]

    def start(tag: str, _: dict[str, str]) -> None:
        element = XmlElement(tag, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        element = stack.pop()
        element.text = element.text.strip()

    def characters(text: str) -> None:
        stack[-1].text += text

    def refuse(*_: object) -> NoReturn:
        raise ConversionError(
            "the XML file declares a document type",
            where=f"{path}:{parser.CurrentLineNumber}",
            expected="plain XML: no <!DOCTYPE ...>, so no entities that name other files or grow at will",
            got="<!DOCTYPE",
            remedy="remove the declaration where it is harmless",
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise ConversionError(
            "the XML file is truncated or malformed",
            where=f"{path}:{parser.ErrorLineNumber}",
            expected="well-formed XML",
            got=str(error),
            remedy="fetch the file again, then run the same command: it continues",
        ) from error
    return outermost.children[0]
