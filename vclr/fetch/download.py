"""Download a file from several addresses: resumed, verified, and complete under its name or not there at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vclr.errors import UserError
from vclr.fetch.checksums import Expected, Found
from vclr.fetch.http_session import Address, HttpSession
from vclr.fetch.partial import Partial
from vclr.fetch.responses import AddressError
from vclr.fetch.settings import RetryPolicy
from vclr.fetch.transfer import Transfer
from vclr.progress import Progress


def download(
    target: Path,
    addresses: Sequence[Address],
    expected: Expected,
    retry: RetryPolicy,
    report: Progress,
    session: HttpSession,
    parts: int = 1,
) -> tuple[str, Found]:
    """Download a file from the first of several addresses that has it, resuming what earlier attempts left.

    Args:
        target: the file; it appears complete and verified, or not at all. What has arrived stays in `<target>.partial`.
        addresses: tried in order.
        expected: what the file is checked against.
        retry: how often to retry, and how long to wait.
        report: receives the progress.
        session: connections, which downloads share.
        parts: number of simultaneous connections, for a file of several megabytes whose server supports ranges.

    Returns:
        The address that it came from, its size and its hashes.

    Raises:
        UserError: in one line, what is wrong with each address.
        OSError: for example, the disk is full.
    """
    problems = []
    partial = Partial(target)
    try:
        for address in addresses:
            transfer = Transfer(partial, address, expected, retry, report, parts, session)
            try:
                found = transfer.complete()
                return partial.url or address.url, found
            except AddressError as error:
                problems.append(f"{address.url}: {error}")
    finally:
        partial.close()
    raise UserError(f"{target}: could not be downloaded: {'; '.join(problems)}")
