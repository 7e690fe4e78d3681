"""Inference: a detector over one photo or a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from vclr.catalog.views import NATURAL
from vclr.coco.annotations import encode_mask
from vclr.config import Config, TestMapperConfig
from vclr.data.batches import pad_images
from vclr.data.loader import list_test_batches, read_batches, test_loader
from vclr.data.samples import TestSample, TestSamples, make_test_sample
from vclr.device import autocast, float32_precision
from vclr.models.detector import Detector
from vclr.models.detectron2_model import Detectron2Outputs
from vclr.models.postprocess import postprocess
from vclr.ops.nms import nms
from vclr.progress import Progress
from vclr.shards import WHOLE, Shard
from vclr.structures import MaskForm, Outputs, Predictions


def predict(
    model: Detector,
    image: np.ndarray,
    short_edge: int | None = 800,
    max_size: int = 1333,
    tile: int | None = None,
    overlap: float = 0.5,
    flip: bool = False,
) -> Predictions:
    """Find the objects in a photo.

    Args:
        model: a detector on the device to compute on.
        image: (h, w, 3) uint8 RGB.
        short_edge: the shorter side that the photo is resized to; None keeps the photo's size.
        max_size: maximum length of its longer side.
        tile: side in pixels of the overlapping tiles in which a large photo is searched beside the whole of it (see
            `vclr.evaluation.tiled`). Each tile is resized as a photo would be. The masks are then only `encoded_masks`,
            because bool masks of a large photo would fill the memory; `Predictions.mask` decodes one.
        overlap: share of a tile's side that it shares with its neighbor.
        flip: also search the mirror image, and merge what is found.

    Raises:
        UsageError: there can be no such tiles.
    """
    if short_edge is None:
        short_edge, max_size = min(image.shape[:2]), max(image.shape[:2])
    mapper = TestMapperConfig(short_edge_length=short_edge, max_size=max_size)
    if tile is not None:
        from vclr.evaluation.tiled import Tiling, predict_tiled  # it uses this module

        return predict_tiled(model, image, mapper, Tiling(tile, overlap), flip=flip)
    return predict_samples(model, [make_test_sample(Image.fromarray(image), mapper)], flip=flip)[0]


@torch.no_grad()
@float32_precision(tf32=False)
def predict_samples(
    model: Detector,
    samples: list[TestSample],
    form: MaskForm = MaskForm.PAINTED,
    observe: Callable[[list[TestSample], Outputs], None] | None = None,
    flip: bool = False,
) -> list[Predictions]:
    """Find the objects in a batch of images. float32 is never TF32 here, which would change scores.

    `observe` is called with the samples and the detector's outputs. With `flip`, the mirror images are searched too.
    """
    was_training = model.training
    model.eval()
    found = []
    for is_mirrored in (False, True) if flip else (False,):
        images, image_sizes = pad_images([sample.image.flip(-1) if is_mirrored else sample.image for sample in samples])
        images = images.to(model.pixel_mean.device)
        outputs = model(model.normalize(images, image_sizes), image_sizes)
        if is_mirrored:
            outputs = mirror(outputs)
        elif observe:
            observe(samples, outputs)
        found.append(
            postprocess(
                outputs,
                original_sizes=[sample.original_size for sample in samples],
                max_detections=model.config.select_box_nums_for_evaluation,
                nms_threshold=model.config.nms_thresh,
                form=form,
            )
        )
    model.train(was_training)
    return [merge_flipped(pair, model) for pair in zip(*found, strict=True)] if flip else found[0]


def mirror(outputs: Outputs | Detectron2Outputs) -> Outputs | Detectron2Outputs:
    """Return what the detector found in mirror images as it lies in the images; only what `postprocess` reads."""
    if isinstance(outputs, Detectron2Outputs):
        return replace(outputs, is_mirrored=True)
    assert outputs.mask_features is not None
    center = outputs.pred_boxes.new_tensor([1.0, 0, 0, 0])
    boxes = center + outputs.pred_boxes * (1 - 2 * center)
    return replace(outputs, pred_boxes=boxes, mask_features=[features.flip(-1) for features in outputs.mask_features])


def merge_flipped(pair: Sequence[Predictions], model: Detector) -> Predictions:
    """Return the objects found in a photo and in its mirror image; of two boxes that overlap much, the better one."""
    encoded = [one for found in pair for one in found.encoded_masks or ()]
    joined = Predictions(
        np.concatenate([found.boxes for found in pair]),
        np.concatenate([found.scores for found in pair]),
        np.concatenate([found.masks for found in pair]),
        None if pair[0].encoded_masks is None else encoded,
    )
    kept = nms(torch.from_numpy(joined.boxes), torch.from_numpy(joined.scores), model.config.nms_thresh)
    return joined.take(kept[: model.config.select_box_nums_for_evaluation].tolist())


def predict_data_set(
    model: Detector,
    config: Config,
    samples: TestSamples,
    receive: Callable[[int | str, list[dict[str, Any]]], None],
    quiet: bool,
    between_batches: Callable[[], None] | None = None,
    shard: Shard = WHOLE,
    num_done: int = 0,
    observe: Callable[[list[TestSample], Outputs], None] | None = None,
) -> None:
    """Find the objects in every image of a set, or of a shard.

    A thread calls `receive`, while this one finds the objects in the next batch.

    Args:
        model: a detector on the device to compute on.
        config: names the batch size and the precision.
        samples: the images.
        receive: gets, for each image in order, its id and its objects as COCO results of category 1 with RLE masks,
            without `segmentation` if the set has no masks to compare with.
        quiet: show no progress.
        between_batches: is called after each batch; it may end the evaluation by an exception.
        shard: the part of the set.
        num_done: number of images at its start that are left out, whole batches.
        observe: is called with each batch and the detector's outputs for it, in order.
    """
    batches = list_test_batches(config, samples, shard)
    shown = f" ({samples.view})" * (samples.view != NATURAL)
    progress = Progress(f"evaluating{shown}", sum(map(len, batches)), done=num_done, quiet=quiet)
    batches = batches[num_done // config.dataloader.test.batch_size :]
    form = MaskForm.ENCODED if samples.has_masks() else MaskForm.NONE

    def hand_over(batch: list[TestSample], found: list[Predictions]) -> None:
        for sample, predictions in zip(batch, found, strict=True):
            receive(sample.image_id, to_coco_results(predictions, sample.image_id))
            progress.advance()

    with closing(progress), ThreadPoolExecutor(1, "receive") as receiver:
        waiting: Future[None] | None = None
        for batch in read_batches(test_loader(config, samples, batches)):
            with autocast(config.evaluation.dtype, model.pixel_mean.device):
                found = predict_samples(model, batch, form, observe)
            if waiting:
                waiting.result()
            waiting = receiver.submit(hand_over, batch, found)
            if between_batches:
                between_batches()
        if waiting:
            waiting.result()


def to_coco_results(predictions: Predictions, image_id: int | str) -> list[dict[str, Any]]:
    """Return predictions as entries of a COCO results json, without `segmentation` if they are only boxes."""
    results: list[dict[str, Any]] = []
    masks = predictions.encoded_masks
    if masks is None and predictions.masks.size:
        masks = [encode_mask(mask) for mask in predictions.masks]
    for number, (box, score) in enumerate(zip(predictions.boxes, predictions.scores, strict=True)):
        left, top, right, bottom = (float(value) for value in box)
        results.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "bbox": [round(value, 3) for value in (left, top, right - left, bottom - top)],
                "score": round(float(score), 6),
            }
        )
        if masks is not None:
            results[-1]["segmentation"] = masks[number]
    return results
