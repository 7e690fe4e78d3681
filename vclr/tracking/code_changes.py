"""How the code of a training differs from its git revision."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import vclr
from vclr.tracking.secrets import redact

log = logging.getLogger("vclr.tracking")

MAX_BYTES = 1_000_000  # beyond that, the changes are data, not code


def write_code_changes(path: Path) -> None:
    """Write what `git diff HEAD` says in the package's repository to a file, without secrets.

    If it says nothing, the file is removed.
    """
    changes = _diff()
    if changes:
        path.write_text(redact(changes[:MAX_BYTES].decode(errors="replace")), encoding="utf-8")
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
