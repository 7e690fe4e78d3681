"""What a training does with photos that have no file of a view: `views.missing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

import numpy as np

from vclr.catalog.views import MISSING_VIEWS, NATURAL, REFUSE, SKIP
from vclr.config import ViewsConfig
from vclr.errors import UserError
from vclr.views.files import ViewFiles


def open_view_files(
    folders: Mapping[str, str], file_names: Sequence[str], config: ViewsConfig, drawn: Sequence[str]
) -> dict[str, ViewFiles]:
    """Find the files of each view of a training set, as far as the policy allows some to be missing.

    Args:
        folders: the folder of each view that is files.
        file_names: of the photos.
        config: holds the policy.
        drawn: the names of all views that are drawn.

    Raises:
        UserError: a folder does not exist; no photo has a file of a view; with the policy `error`, some have none; with
            `skip`, some have no view at all. Says how many and the first.
    """
    may_be_missing = config.missing != REFUSE
    files = {
        view: ViewFiles(view, Path(folder), file_names, may_be_missing=may_be_missing)
        for view, folder in folders.items()
    }
    if config.missing == SKIP and (places := places_without_view([files[view].missing() for view in files], drawn)):
        raise UserError(say_no_view([file_names[place] for place in places]))
    return files


def places_without_view(missing: Sequence[np.ndarray], drawn: Sequence[str]) -> list[int]:
    """Return the places of the photos that have no view that is drawn.

    Args:
        missing: for each view that is files, the places of the photos that have none.
        drawn: the names of all views that are drawn; those that are not files, every photo has.
    """
    return reduce(np.intersect1d, missing).tolist() if len(missing) == len(drawn) else []


def say_no_view(photos: Sequence[str]) -> str:
    """Say which photos have no view that is drawn, and what to do."""
    return (
        f"views.missing={SKIP}: {len(photos)} photos have none of the views that are drawn; the first: {photos[0]}; "
        f"set views.weights.{NATURAL}=1 to draw the photos too"
    )


def say_missing(view: str, num_missing: int, num_photos: int, policy: str) -> str:
    """Say how many photos have no file of a view, and what happens with them."""
    return f"view {view}: {num_missing} of {num_photos} photos have no file; {MISSING_VIEWS[policy]}"
