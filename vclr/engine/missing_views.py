"""How often a training drew a view of which the photo has no file (`views.missing`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vclr.engine.distributed import sum_on_hosts
from vclr.structures import Batch

KEY = "missing_views"  # of the draws so far, in a journal's part of a checkpoint


class MissingViews:
    """Count photos and draws without a file, for each view of which some photos have none; usually there is none.

    Draws for the student and for the teacher count alike.
    """

    def __init__(self, photos: Mapping[str, int]) -> None:
        """Take the number of photos without a file, by view; the same on all processes."""
        self.photos = dict(photos)
        self.draws = dict.fromkeys(self.photos, 0)

    def count(self, batch: Batch) -> None:
        """Add the draws of a step, those of all processes; each calls this with its part of the batch."""
        if self.photos:
            missing = [*batch.missing_views, *batch.teacher_missing_views]
            totals = sum_on_hosts([missing.count(view) for view in self.photos])
            for view, total in zip(self.photos, totals, strict=True):
                self.draws[view] += int(total)

    def record(self) -> dict[str, int]:
        """Return both numbers for a record: `views/depth_missing_photos`, `views/depth_missing_draws` (so far)."""
        photos = {f"views/{view}_missing_photos": count for view, count in self.photos.items()}
        return photos | {f"views/{view}_missing_draws": count for view, count in self.draws.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the draws so far; nothing if all photos have all views."""
        return {KEY: dict(self.draws)} if self.photos else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the draws of `state_dict`."""
        self.draws |= {view: count for view, count in state.get(KEY, {}).items() if view in self.photos}
