"""Photos in, objects out: a json and an overlay picture for each."""

from __future__ import annotations

import logging
from pathlib import Path

from vclr.errors import UsageError
from vclr.evaluation.inference import predict, to_coco_results
from vclr.evaluation.pictures import draw_objects
from vclr.files import write_json
from vclr.models.build import build_model
from vclr.models.weights import config_of, load_weights, read_weights
from vclr.ops.device import choose_device, describe_device
from vclr.pictures import read_image, write_png
from vclr.progress import track

log = logging.getLogger("vclr.evaluation")


def predict_files(
    photos: list[Path],
    checkpoint: Path,
    output: Path,
    min_score: float,
    device: str,
    config_file: Path | None = None,
) -> None:
    """Write `output/<stem>.json` (COCO results) and `output/<stem>.png` (objects drawn) for each photo.

    Args:
        photos: image files; their stems must differ.
        checkpoint: the configuration in it builds the model and says how photos are resized.
        output: folder.
        min_score: objects below are in the json, but not drawn.
        device: auto, cpu, cuda ...
        config_file: the configuration of weights that hold none (the reference's); by default the published one.

    Raises:
        UserError: a photo or the checkpoint cannot be read. Photos before it are done, nothing half-written is left.
        UsageError: two photos of one stem.
    """
    stems = [photo.stem for photo in photos]
    for stem in stems:
        if stems.count(stem) > 1:
            raise UsageError(f"two photos are called {stem}: their results would overwrite each other")
    content = read_weights(checkpoint)
    config = config_of(content, checkpoint, config_file)
    model = build_model(config).to(choose_device(device))
    use_teacher = config.train.model_ema.use_ema_weights_for_eval_only
    load_weights(model, content, use_teacher, strict=True, name=str(checkpoint))
    log.info("predicting on %s", describe_device(model.pixel_mean.device, device))
    mapper = config.dataloader.test.mapper
    for photo in track(photos, "predicting"):
        image = read_image(photo)
        found = predict(model, image, mapper.short_edge_length, mapper.max_size)
        results = to_coco_results(found, 0)
        for result in results:
            result["file_name"] = photo.name
            del result["image_id"]
        write_json(output / f"{photo.stem}.json", results)
        drawn = found.scores >= min_score
        labels = [f"{score:.2f}" for score in found.scores[drawn]]
        write_png(
            output / f"{photo.stem}.png",
            draw_objects(image, list(found.masks[drawn]), list(found.boxes[drawn]), labels),
        )
