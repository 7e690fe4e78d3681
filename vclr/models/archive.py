"""The archives of `torch.save`: torch writes a checksum for every record but does not check it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from vclr.errors import UserError

DOS_FOLDER = 0x10  # the attribute that makes an entry of a zip archive a folder


def check_archive(path: Path) -> None:
    """Compare every record of an archive with its checksum.

    Raises:
        UserError: the file is missing, cannot be read, is not an archive, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            # No checksum covers this bit of a record's description and zipfile ignores it, but with it torch takes the
            # record for a folder and returns whatever its memory holds.
            folders = [record.filename for record in archive.infolist() if record.external_attr & DOS_FOLDER]
    except FileNotFoundError:
        raise UserError(f"{path}: is missing") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # damage shows as an error of zipfile, zlib, struct or a codec
        raise UserError(f"{path}: is damaged ({error or type(error).__name__})") from None
    if damaged or folders:
        raise UserError(f"{path}: is damaged ({damaged or folders[0]} does not fit its checksum)")
