"""How the code of a training differs from its git revision."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import vclr

log = logging.getLogger("vclr.tracking")

MAX_BYTES = 1_000_000  # beyond that, the changes are data, not code


def write_code_changes(path: Path) -> None:
    """Write the output of `git diff HEAD` of the package's repository to a file; remove the file if there is none."""
    changes = _diff()
    if changes:
        path.write_bytes(changes[:MAX_BYTES])
    else:
        path.unlink(missing_ok=True)


def _diff() -> bytes:
    command = ["git", "-C", str(Path(vclr.__file__).parents[1]), "diff", "HEAD"]
    # Reading the state must not take the index lock while somebody is committing.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(command, capture_output=True, timeout=10, env=environment, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
