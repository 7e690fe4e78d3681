"""What a training does with photos that have no file of a view: `views.missing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from vclr.catalog.views import MISSING_VIEWS, NATURAL, SKIP
from vclr.config import DataSetConfig, ViewsConfig
from vclr.errors import UserError
from vclr.views.choice import drawn_by_key
from vclr.views.files import ViewFiles


def refuse_without_view(config: ViewsConfig, files: Mapping[str, ViewFiles], data_set: DataSetConfig) -> None:
    """Check that `skip` leaves each photo a view, for the student and for the teacher.

    Args:
        config: holds the policy and the weights.
        files: the views that are files.
        data_set: the training set.

    Raises:
        UserError: photos have none; says how many and the first.
    """
    if config.missing != SKIP:
        return
    for key, drawn in drawn_by_key(config, data_set).items():
        missing = {view: files[view] for view in drawn if view in files}
        if places := places_without_view([one.missing() for one in missing.values()], [*drawn]):
            names = next(iter(missing.values())).file_names
            raise UserError(say_no_view([names[place] for place in places], key))


def places_without_view(missing: Sequence[np.ndarray], drawn: Sequence[str]) -> list[int]:
    """Return the places of the photos that have no view that is drawn.

    Args:
        missing: for each view that is files, the places of the photos that have none.
        drawn: the names of all views that are drawn; those that are not files, every photo has.
    """
    return reduce(np.intersect1d, missing).tolist() if len(missing) == len(drawn) else []


def say_no_view(photos: Sequence[str], key: str) -> str:
    """Say which photos have no view that is drawn by the setting `key`, and what to do."""
    return (
        f"views.missing={SKIP}: {len(photos)} photos have none of the views that are drawn; the first: {photos[0]}; "
        f"set {key}.{NATURAL}=1 to draw the photos too"
    )


def say_missing(view: str, num_missing: int, num_photos: int, policy: str) -> str:
    """Say how many photos have no file of a view, and what happens with them."""
    return f"view {view}: {num_missing} of {num_photos} photos have no file; {MISSING_VIEWS[policy]}"
