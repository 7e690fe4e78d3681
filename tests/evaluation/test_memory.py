"""The memory of an evaluation does not grow with the predictions: of each, what average precision needs stays."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from vclr import json_stream
from vclr.config import Config
from vclr.engine.shared_evaluation import evaluate
from vclr.evaluation.evaluate import evaluate_file, evaluate_parts
from vclr.files import read_json, write_json
from vclr.models.build import build_model

MakeConfig = Callable[..., Config]
FEW, MANY = 2, 14  # images
NUM_QUERIES = 60
BYTES = 450  # per prediction, at most, most of it of the draws of so few images; Python objects need 1500 and more


def make_set(make_config: MakeConfig, folder: Path, num_images: int) -> Config:
    """Return an experiment whose test set is one photo of the toy world under many names."""
    config = make_config()
    truth = read_json(config.data.test.annotations)
    first = truth["images"][0]
    (folder / "images").mkdir(parents=True)
    photo = Path(config.data.test.images, first["file_name"]).resolve()
    images = [{**first, "id": number, "file_name": f"{number}{photo.suffix}"} for number in range(num_images)]
    for image in images:
        (folder / "images" / image["file_name"]).symlink_to(photo)
    objects = [one for one in truth["annotations"] if one["image_id"] == first["id"]]
    annotations = [{**one, "image_id": image["id"]} for image in images for one in objects]
    annotations = [{**one, "id": number} for number, one in enumerate(annotations)]
    write_json(folder / "truth.json", {**truth, "images": images, "annotations": annotations})
    return make_config(
        f"data.test.annotations={folder}/truth.json",
        f"data.test.images={folder}/images",
        f"model={{num_queries: {NUM_QUERIES}, select_box_nums_for_evaluation: {NUM_QUERIES}, nms_thresh: 1.0}}",
        "dataloader.test={num_workers: 0, batch_size: 2}",
        "dataloader.test.mapper.short_edge_length=32",
        "train.device=cpu",
    )


def peak(compute: Callable[[], object]) -> int:
    """Return the most bytes of Python and numpy that are allocated meanwhile."""
    tracemalloc.start()
    try:
        compute()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def evaluated(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Config, Path, int]]:
    """For each number of images: the experiment, the folder of the predictions, and the peak of the evaluation."""
    results = {}
    for number in (FEW, FEW, MANY):  # the first time, modules are imported
        folder = tmp_path_factory.mktemp("evaluated")
        config = make_set(make_config, folder, number)
        model = build_model(config)
        results[number] = config, folder, peak(lambda: evaluate(model, config, folder, quiet=True))  # noqa: B023
        assert len(read_json(folder / "predictions.json")) > 0.9 * number * NUM_QUERIES
    return results


def assert_flat(peaks: dict[int, int]) -> None:
    assert (peaks[MANY] - peaks[FEW]) / ((MANY - FEW) * NUM_QUERIES) < BYTES


def test_evaluation_of_a_detector_is_flat(evaluated: dict[int, tuple[Config, Path, int]]):
    assert_flat({number: size for number, (_, _, size) in evaluated.items()})


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files were large."""
    monkeypatch.setattr(json_stream, "BLOCK", 4096)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("order", ["by image", pytest.param("mixed", marks=pytest.mark.slow)])
def test_evaluation_of_a_file_is_flat(order: str, evaluated: dict[int, tuple[Config, Path, int]], tmp_path: Path):
    peaks, metrics = {}, {}
    for number, (config, folder, _) in evaluated.items():
        path, content = tmp_path / f"{number}.json", read_json(folder / "predictions.json")
        write_json(path, content if order == "by image" else sorted(content, key=lambda one: -one["score"]))
        del content
        peaks[number] = peak(lambda: metrics.update(evaluate_file(path, config, tmp_path)))  # noqa: B023
    own = metrics.pop("provenance")
    assert metrics == {key: value for key, value in read_json(folder / "metrics.json").items() if key != "provenance"}
    assert own["predictions"][0]["path"] == str(path)
    assert_flat(peaks)


@pytest.mark.usefixtures("small_blocks")
def test_evaluation_of_parts_is_flat(evaluated: dict[int, tuple[Config, Path, int]], tmp_path: Path):
    peaks = {}
    for number, (config, folder, _) in evaluated.items():
        content = read_json(folder / "predictions.json")
        parts = [tmp_path / f"{number}_{part}.json" for part in range(2)]
        for part, path in enumerate(parts):
            write_json(path, [one for one in content if one["image_id"] % 2 == part])
        del content
        peaks[number] = peak(lambda: evaluate_parts(parts, config, tmp_path))  # noqa: B023
    assert_flat(peaks)
