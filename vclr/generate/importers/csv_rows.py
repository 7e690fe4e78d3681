"""Read the rows of a csv file, whose fields may hold long outlines."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from vclr.errors import UserError
from vclr.files import read_bytes
from vclr.json_text import decode_text

MAX_FIELD = 1 << 24  # characters; the limit of the library is too low for an outline of 10 000 points


def read_rows(source: Path) -> list[list[str]]:
    """Return the rows of a csv file.

    Raises:
        UserError: it cannot be read as csv.
    """
    before = csv.field_size_limit(MAX_FIELD)
    try:
        return list(csv.reader(io.StringIO(decode_text(read_bytes(source), source))))
    except csv.Error as error:
        raise UserError(f"{source}: is not valid csv: {error}") from None
    finally:
        csv.field_size_limit(before)
