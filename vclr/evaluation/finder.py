"""A detector and how it searches photos: in batches, in tiles, in the mirror, in which precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vclr.config import Config
from vclr.device import DTYPES, autocast
from vclr.errors import UsageError, explain, is_out_of_memory
from vclr.evaluation.inference import predict_samples
from vclr.evaluation.read_ahead import ReadPhoto, Refused, read_ahead
from vclr.evaluation.tiled import Tiling, predict_tiled
from vclr.models.detector import Detector
from vclr.structures import MaskForm, Predictions

AUTO = DTYPES[0]


@dataclass(frozen=True)
class Search:
    """How photos are searched.

    Attributes:
        batch_size: number of photos, or with `tiling` of a photo's tiles, that are searched together.
        dtype: one of `DTYPES`; auto: `evaluation.dtype` of the configuration.
        tiling: how large photos are cut; None searches each as a whole.
        flip: also search the mirror images.

    Raises:
        UsageError: there is no such number format.
    """

    batch_size: int = 1
    dtype: str = AUTO
    tiling: Tiling | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"--dtype {self.dtype}: must be one of {', '.join(DTYPES)}")


WHOLE_PHOTOS = Search()


class Finder:
    """A detector that searches photos."""

    def __init__(self, model: Detector, config: Config, search: Search = WHOLE_PHOTOS) -> None:
        self.model, self.search = model, search
        self.mapper = config.dataloader.test.mapper
        self.dtype = config.evaluation.dtype if search.dtype == AUTO else search.dtype

    def find_all(self, photos: Sequence[Path]) -> Iterator[tuple[ReadPhoto, Predictions] | tuple[Refused, Predictions]]:
        """Yield each photo with its objects, in order; those that cannot be read or searched come as `Refused`."""
        tile = self.search.tiling.side if self.search.tiling else None
        # Photos that are cut are in memory as a whole; batches are then of their tiles.
        batch_size = self.search.batch_size if tile is None else 1
        with closing(read_ahead(photos, self.mapper, tile, batch_size)) as batches:
            for batch in batches:
                readable = [photo for photo in batch if isinstance(photo, ReadPhoto)]
                found = iter(self._find_or_refuse(readable))
                for photo in batch:
                    yield (photo, NOTHING) if isinstance(photo, Refused) else next(found)

    def _find_or_refuse(
        self, photos: list[ReadPhoto]
    ) -> list[tuple[ReadPhoto, Predictions] | tuple[Refused, Predictions]]:
        """Find the objects in photos; if memory runs out, in one photo after the other."""
        try:
            return list(zip(photos, self.find(photos), strict=True))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(photos) == 1:
                explanation = explain(error)
                assert explanation is not None
                return [(Refused(photos[0].path, f"{photos[0].path}: {explanation[0]}"), NOTHING)]
        return [one for photo in photos for one in self._find_or_refuse([photo])]

    def find(self, photos: list[ReadPhoto]) -> list[Predictions]:
        """Find the objects in photos, with `encoded_masks`."""
        whole = [photo.sample for photo in photos if photo.sample is not None]
        with autocast(self.dtype, self.model.pixel_mean.device):
            found = iter(predict_samples(self.model, whole, MaskForm.ENCODED, flip=self.search.flip) if whole else [])
            return [self._find_in_tiles(photo) if photo.sample is None else next(found) for photo in photos]

    def _find_in_tiles(self, photo: ReadPhoto) -> Predictions:
        search = self.search
        assert photo.pixels is not None and search.tiling is not None
        return predict_tiled(self.model, photo.pixels, self.mapper, search.tiling, search.batch_size, search.flip)


NOTHING = Predictions(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0, 0), bool), [])
