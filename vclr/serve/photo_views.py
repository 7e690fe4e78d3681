"""The views of a photo for the page: all that are computed from it, as small pictures."""

from __future__ import annotations

import base64
import hashlib
import io

import numpy as np
from numpy.random import Generator
from PIL import Image

from vclr.catalog.views import COMPUTED_VIEWS, NATURAL
from vclr.coco.annotations import Json
from vclr.drawing import fit
from vclr.views.computed import render_view
from vclr.views.textures import draw_texture

SIDE = 640  # pixels of a picture's longer side, as many as of COCO's photos
QUALITY, MAX_SIDE = 90, 65500  # of JPEG
SEED = 0


def render_views(photo: Image.Image) -> Json:
    """Render all computed views of a photo, at most SIDE pixels long.

    Args:
        photo: RGB, upright.

    Returns:
        `views`: for each its `name`, what it keeps and changes (`says`), and its `picture` as a data URI. The first is
        the photo itself. The view `fourier`, which needs another photo, gets a generated texture.
    """
    image = np.asarray(photo)
    if max(image.shape[:2]) > SIDE:
        image = fit(image, SIDE)
    identity = hashlib.sha256(image.tobytes()).hexdigest()  # so the same photo has the same views
    views = [{"name": NATURAL, "says": "the photo as it is", "picture": _data_uri(image)}]
    for view, says in COMPUTED_VIEWS.items():
        rendered = render_view(view, image, SEED, identity, _draw_texture)
        views.append({"name": view, "says": says, "picture": _data_uri(rendered)})
    return {"views": views}


def as_jpeg(photo: Image.Image) -> bytes:
    """Encode a photo for browsers that cannot read its format, or that would not turn it upright."""
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _draw_texture(random: Generator) -> np.ndarray:
    return draw_texture(random)


def _data_uri(image: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(as_jpeg(Image.fromarray(image))).decode("ascii")
