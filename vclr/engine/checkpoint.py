"""Checkpoints on disk: written whole or not at all, the last and some earlier ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import torch

from vclr.files import atomic_path

LAST = "last.pt"


def save_checkpoint(folder: Path, checkpoint: dict[str, Any], max_to_keep: int) -> Path:
    """Write `last.pt`, and a copy named by its iteration of which the newest `max_to_keep` stay."""
    with atomic_path(folder / LAST) as partial:
        torch.save(checkpoint, partial)
    if max_to_keep:
        with atomic_path(folder / f"step{checkpoint['iteration']:08d}.pt") as partial:
            shutil.copyfile(folder / LAST, partial)
    kept = sorted(path for path in folder.iterdir() if re.fullmatch(r"step\d{8}\.pt", path.name))
    for path in kept[: max(0, len(kept) - max_to_keep)]:
        path.unlink()
    return folder / LAST
