"""Views of a photo that are computed from it: they keep its geometry and change its appearance.

v-CLR (section 3 of the paper) shows the student depth maps and art-stylized copies, which need large pretrained
models. The computed views follow the same idea with arithmetic alone. `vclr.catalog.views.COMPUTED_VIEWS` lists them
with what each keeps and changes. `CONTROLS` beside it lists the renderings that take the geometry apart: `vclr probe`
compares the views with them, and nothing is trained on them. NAME is the function `render` of `vclr/views/NAME.py`:

    render(image, random, draw_photo) -> view

`image` and the view are (h, w, 3) uint8 RGB of the same size. `random` is the generator of this photo in this view.
`draw_photo(random)` returns another photo of the folder, of any size. The bytes of a view depend on the photo, the
seed, the photo's id and what was drawn, and on nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.random import Generator

from vclr.catalog.views import COMPUTED_VIEWS, CONTROLS, RENDERED
from vclr.errors import UsageError, UserError, nearest

DrawPhoto = Callable[[Generator], np.ndarray]  # returns another photo, (h', w', 3) uint8


def render_view(view: str, image: np.ndarray, seed: int, image_id: int | str, draw_photo: DrawPhoto) -> np.ndarray:
    """Render one of `COMPUTED_VIEWS` or `CONTROLS`.

    Args:
        view: its name.
        image: (h, w, 3) uint8 RGB.
        seed: the seed of the experiment.
        image_id: tells this image from others; 7 and "7" are the same image.
        draw_photo: draws another photo, (h', w', 3) uint8 of any size, with the generator that it is given.

    Returns:
        (h, w, 3) uint8.
    """
    rendered: np.ndarray = find_view(view, RENDERED).render(image, view_generator(view, seed, image_id), draw_photo)
    if rendered.shape != image.shape or rendered.dtype != np.uint8:
        found = f"{rendered.shape} {rendered.dtype}"
        raise UserError(f"view {view}: vclr/views/{view}.py rendered {found} from a photo {image.shape} uint8")
    return rendered


def find_view(view: str, known: Collection[str] = COMPUTED_VIEWS) -> ModuleType:
    """Return the module that renders a view.

    Raises:
        UsageError: it is not one of `known`; names the nearest that is.
    """
    if view not in known:
        if view in CONTROLS:
            raise UsageError(f"view {view}: is a control, which only `vclr probe` renders")
        near = nearest(view, known)
        raise UsageError(f"unknown view {view!r}; nearest: {near} (computed views: {', '.join(COMPUTED_VIEWS)})")
    return import_module(f"vclr.views.{view}")


def view_generator(view: str, seed: int, image_id: int | str) -> Generator:
    """Return the random generator of one image in one view, the same in every process and on every machine."""
    digest = hashlib.sha256(f"{seed}/{view}/{image_id}".encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))


def round_to_bytes(image: np.ndarray) -> np.ndarray:
    """Round and clip pixels to uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
