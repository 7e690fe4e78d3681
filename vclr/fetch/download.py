"""Download a file: from several addresses, resumed, verified, whole under its name or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vclr.errors import UserError
from vclr.fetch.answers import AddressError
from vclr.fetch.checksums import Expected, Found
from vclr.fetch.connections import Address, Sessions
from vclr.fetch.partial import Partial
from vclr.fetch.patience import Patience
from vclr.fetch.transfer import Report, Transfer


def download(
    target: Path,
    addresses: Sequence[Address],
    expected: Expected,
    patience: Patience,
    report: Report,
    sessions: Sessions,
    parts: int = 1,
) -> tuple[str, Found]:
    """Bring a file from the first of several addresses that has it, going on from what earlier attempts left.

    Args:
        target: the file; it appears whole and verified, or not at all. What has arrived stays in `<target>.partial`.
        addresses: tried in order.
        expected: what the file is checked by.
        patience: with servers that do not answer or break off.
        report: told how far it is.
        sessions: connections, which files may share.
        parts: so many of them at once, for a file of several megabytes whose server honors ranges.

    Returns:
        The address that it came from, and what it is.

    Raises:
        UserError: in one line, what is wrong with each address.
        OSError: the disk is full, say.
    """
    problems = []
    partial = Partial(target)
    try:
        for address in addresses:
            transfer = Transfer(partial, address, expected, patience, report, parts, sessions)
            try:
                found = transfer.complete()
                return partial.url or address.url, found
            except AddressError as error:
                problems.append(f"{address.url}: {error}")
    finally:
        partial.close()
    raise UserError(f"{target}: could not be fetched: {'; '.join(problems)}")
