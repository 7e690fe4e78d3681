"""The archives of `torch.save`: every record has a checksum, which torch writes and does not check itself."""

from __future__ import annotations

import zipfile
from pathlib import Path

from vclr.errors import UserError

DOS_FOLDER = 0x10  # the attribute that makes an entry of a zip archive a folder


def check_archive(path: Path) -> None:
    """Compare all that an archive holds with its checksums.

    Raises:
        UserError: the file is missing, cannot be read, is no archive, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            # The one bit of a record's description that is no part of a checksum, of no meaning to zipfile, and enough
            # to make torch take the record for a folder and return whatever its memory holds.
            folders = [record.filename for record in archive.infolist() if record.external_attr & DOS_FOLDER]
    except FileNotFoundError:
        raise UserError(f"{path}: is missing") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # damage shows as an error of zipfile, zlib, struct or a codec
        raise UserError(f"{path}: is damaged ({error or type(error).__name__})") from None
    if damaged or folders:
        raise UserError(f"{path}: is damaged ({damaged or folders[0]} does not fit its checksum)")
