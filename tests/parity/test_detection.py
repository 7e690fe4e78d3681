"""Inference at the published size, stage by stage, from the pixels to the kept detections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from tests.parity.golden import Arrays, assert_near_peak, filled_detector, load_json
from vclr.data.samples import TestSample as EvaluatedSample
from vclr.evaluation.inference import predict_samples
from vclr.models.detector import Detector
from vclr.structures import Predictions

# Largest difference to the reference, in shares of the largest value of each array.
TOLERANCE = 1e-4


@dataclass
class Run:
    """A detector's predictions for a golden image, and what its parts gave on the way."""

    name: str
    golden: Arrays
    detector: Detector
    predictions: Predictions
    stages: dict[str, Any]


@pytest.fixture(scope="module", params=["full_192x288", "small_128x160"])
def run(request: pytest.FixtureRequest) -> Run:
    golden, detector = Arrays(f"c_eval_{request.param}.npz"), filled_detector(request.param.startswith("small")).eval()
    stages: dict[str, Any] = {}

    def keep(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _, inputs, output: stages.update({name: output, f"{name}_in": inputs}))

    for name in ("backbone", "neck", "encoder", "proposal_stage", "decoder", "mask_branch"):
        keep(name, detector.get_submodule(name))
    keep("cells", detector.proposal_stage.norm)
    keep("expand", detector.mask_branch.mapping[0])
    keep("contract", detector.mask_branch.mapping[3])
    for number, layer in enumerate(detector.encoder.layers):
        keep(f"encoder{number}", layer)
    with two_threads():
        return Run(request.param, golden, detector, predict(golden, detector), stages)


@contextmanager
def two_threads() -> Iterator[None]:
    """Compute with two threads, as the bounds were measured: how a sum is shared out decides how it is rounded."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def predict(golden: Arrays, detector: Detector) -> Predictions:
    height, width = golden["out_hw"].tolist()
    return predict_samples(detector, [EvaluatedSample(golden["image"], 0, (height, width))])[0]


def assert_stage(ours: Tensor, golden: Arrays, name: str, part: tuple[slice, ...] = ()) -> None:
    """Compare the part that the file holds, and the statistics of the whole."""
    assert_near_peak(ours[part] if part else ours, golden[name], TOLERANCE)
    if f"{name}__stats" in golden:
        whole = ours.double()
        stats = torch.stack([whole.mean(), whole.std(), whole.abs().sum(), whole.square().sum()])
        expected = golden[f"{name}__stats"].double()
        torch.testing.assert_close(stats[1:], expected[1:], rtol=TOLERANCE, atol=0)
        assert abs(stats[0] - expected[0]) <= TOLERANCE * stats[1]


def every(*steps: int) -> tuple[slice, ...]:
    return tuple(slice(None, None, step) for step in steps)


def test_backbone_and_neck(run: Run):
    for name, features in zip(("res3", "res4", "res5"), run.stages["backbone"][0], strict=True):
        assert_stage(features[0], run.golden, f"backbone_{name}", every(32, 3, 3))
    for level, features in enumerate(run.stages["neck"]):
        assert_stage(features[0], run.golden, f"neck{level}", every(8, 3, 3))


def test_encoder(run: Run):
    for layer in range(len(run.detector.encoder.layers)):
        assert_stage(run.stages[f"encoder{layer}"][0], run.golden, f"enc{layer}", every(37, 8))
    assert_stage(run.stages["encoder"][0].features[0], run.golden, "memory", every(17, 8))


def test_proposals(run: Run):
    golden, levels = run.golden, run.stages["encoder_in"][0][0]
    logits, usable = levels.proposals()
    assert (~usable).sum() == golden["n_invalid_proposals"]
    assert_stage(logits[0], golden, "output_proposals", every(5))
    assert_stage(run.stages["cells"][0], golden, "output_memory", every(17, 8))
    stage = run.stages["proposal_stage"]
    assert_stage(stage.logits[0].amax(-1), golden, "topk_values")
    assert_stage(stage.memory[0], golden, "enc_state", every(3, 8))
    assert_stage(stage.boxes[0], golden, "init_reference")
    assert_stage(stage.boxes[0], golden, "enc_reference")


def test_decoder(run: Run):
    states, boxes = run.stages["decoder"]
    logits = [head(state) for head, state in zip(run.detector.class_embed, states, strict=False)]
    assert_stage(torch.stack(states)[:, 0], run.golden, "inter_states", every(1, 3, 8))
    assert_stage(torch.stack(logits)[:, 0], run.golden, "logits")
    assert_stage(torch.stack(boxes)[:, 0], run.golden, "boxes")


def test_masks(run: Run):
    golden, features = run.golden, run.stages["mask_branch"][0]
    assert_stage(run.stages["expand_in"][0][0], golden, "fpn_in", every(64, 4, 4))
    assert_stage(run.stages["contract"][0], golden, "fpn_map", every(64, 4, 4))
    assert_stage(features, golden, "fpn", every(32, 4, 4))
    states = run.stages["decoder"][0]
    masks = [
        torch.einsum("qe,ehw->qhw", head(state[0]), features)
        for head, state in zip(run.detector.mask_embed, states, strict=False)
    ]
    assert_stage(masks[-1], golden, "mask_last", every(10))
    assert_stage(torch.stack(masks[:-1]), golden, "mask_layers", every(1, 60, 2, 2))
    for mask, stats in zip(masks, golden["mask_stats"], strict=True):
        whole = mask.double()
        sums = torch.stack([whole.std(), whole.abs().sum(), whole.square().sum()])
        torch.testing.assert_close(sums, stats[1:], rtol=TOLERANCE, atol=0)


def test_detections_are_the_references(run: Run):
    """The same set: empty masks tie at the lowest score, so their order means nothing."""
    golden, found = run.golden, run.predictions
    boxes, scores = golden["final_boxes"].numpy(), golden["final_scores"].numpy()
    rles = load_json(f"c_eval_{run.name}_rles.json")
    assert len(found) == len(scores)
    ours, theirs = linear_sum_assignment(np.abs(found.boxes[:, None] - boxes[None]).max(-1))
    assert np.abs(found.boxes[ours] - boxes[theirs]).max() < 1e-4 * boxes.max()
    assert np.abs(found.scores[ours] - scores[theirs]).max() < 1e-4
    for one, other in zip(ours, theirs, strict=True):
        mask, expected = found.masks[one], coco_mask.decode(rles[other]).astype(bool)
        # A single pixel whose logit is zero up to rounding may fall to either side, also in a tiny mask.
        assert mask_iou(mask, expected) >= 0.999 or (mask ^ expected).sum() == 1


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    union = (first | second).sum()
    return (first & second).sum() / union if union else 1.0


def test_bfloat16_finds_the_same_objects(run: Run):
    """Of what scores above 0.3 in float32, at least 95 % come back with a box and a mask of an IoU of 0.9."""
    with torch.autocast("cpu", torch.bfloat16):
        near = predict(run.golden, run.detector)
    assert not np.array_equal(near.scores[:50], run.predictions.scores[:50]), "bfloat16 was not used"
    certain = run.predictions.scores > 0.3
    assert certain.sum() > 100
    corners = [np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]) for boxes in (run.predictions.boxes, near.boxes)]
    box_ious = coco_mask.iou(corners[0].astype(float), corners[1].astype(float), [0] * len(near))
    recovered = [
        any(
            mask_iou(run.predictions.masks[one], near.masks[other]) >= 0.9
            for other in np.flatnonzero(box_ious[one] >= 0.9)
        )
        for one in np.flatnonzero(certain)
    ]
    assert np.mean(recovered) >= 0.95


def test_a_batch_of_different_sizes_finds_what_each_image_alone_does(run: Run):
    """The reference cannot: its evaluation is right for one image at a time."""
    image = run.golden["image"]
    samples = [
        EvaluatedSample(image[:, :height, :width], number, (2 * height, 2 * width))
        for number, (height, width) in enumerate([(128, 160), (97, 131), (65, 158)])
    ]
    for sample, together in zip(samples, predict_samples(run.detector, samples), strict=True):
        alone = predict_samples(run.detector, [sample])[0]
        assert len(together) == len(alone)
        ours, theirs = linear_sum_assignment(np.abs(together.boxes[:, None] - alone.boxes[None]).max(-1))
        assert np.abs(together.boxes[ours] - alone.boxes[theirs]).max() < 1e-4 * alone.boxes.max()
        assert np.abs(together.scores[ours] - alone.scores[theirs]).max() < 1e-4
        different = together.masks[ours] ^ alone.masks[theirs]
        assert different.mean((1, 2)).max() < 5e-4, "pixels whose logit is zero up to rounding"
