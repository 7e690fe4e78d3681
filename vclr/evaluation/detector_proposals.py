"""The method `detector`: a trained checkpoint proposes objects, for a round of self-training.

It stands here and not in `vclr/object_proposals/`, because it uses the inference of this room.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from vclr.coco.annotations import to_mask
from vclr.config import Config
from vclr.data.samples import make_test_sample
from vclr.device import autocast, choose_device, choose_dtype
from vclr.evaluation.inference import predict_samples
from vclr.files import sha256
from vclr.models.detector import Detector
from vclr.models.ready import open_detector
from vclr.models.weights import find_checkpoint
from vclr.object_proposals.options import MethodOptions, Proposals
from vclr.structures import MaskForm, Predictions


def open_proposer(options: MethodOptions) -> DetectorProposer:
    """Open the checkpoint, with the weights (student or teacher) that its configuration evaluates.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    assert options.checkpoint is not None
    choose_dtype(options.dtype, choose_device(options.device, f"--device {options.device}"))  # refuses other names
    path = find_checkpoint(options.checkpoint)
    model, config = open_detector(path, options.device)
    return DetectorProposer(model, config, options, {"checkpoint": path.name, "checkpoint_sha256": sha256(str(path))})


class DetectorProposer:
    """A detector that proposes objects; see `vclr.object_proposals.options.Proposer`."""

    def __init__(self, model: Detector, config: Config, options: MethodOptions, facts: dict[str, str]) -> None:
        self._model, self._mapper = model, config.dataloader.test.mapper
        # Where bfloat16 is fast, a detector still ranks its queries better in float32.
        self._dtype = "bfloat16" if options.dtype == "bfloat16" else "float32"
        self._max_proposals = options.max_proposals
        self.batch_size = options.batch_size or 1
        self.facts = {**facts, "dtype": self._dtype}

    def propose(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[Proposals]:
        """Return the best detections of each photo; see `Proposer`."""
        del names
        samples = [make_test_sample(Image.fromarray(image), self._mapper) for image in images]
        with autocast(self._dtype, self._model.pixel_mean.device):
            found = predict_samples(self._model, samples, MaskForm.ENCODED)  # all masks of a large photo are too many
        return [self._best(one, image.shape[:2]) for one, image in zip(found, images, strict=True)]

    def _best(self, found: Predictions, size: tuple[int, ...]) -> Proposals:
        assert found.encoded_masks is not None
        chosen = range(min(self._max_proposals, len(found)))
        masks = np.zeros((len(chosen), *size), dtype=bool)
        for number in chosen:
            masks[number] = to_mask(found.encoded_masks[number], *size)
        return masks, found.scores[: len(chosen)].astype(np.float64)
