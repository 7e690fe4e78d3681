"""Read an XML file of an annotation tool."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vclr.errors import UserError
from vclr.files import read_bytes


def read_xml(file: Path) -> Element:
    """Return the root of an XML file.

    Raises:
        UserError: it is missing, is not XML, or declares a document type.
    """
    data = read_bytes(file)
    if data.startswith(b"PK"):
        raise UserError(f"{file}: is a zip; unpack it")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # entities can blow up to gigabytes
        raise UserError(f"{file}: declares a document type, which no annotation tool writes")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{file}: is not valid XML: {error}") from None
