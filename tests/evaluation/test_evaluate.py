"""Evaluation: metrics and predictions belong together, for each group of classes and for the protocol."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import vclr
from vclr.cli import app
from vclr.coco.prediction import Prediction
from vclr.coco.prediction_checks import PredictionChecks
from vclr.coco.results import join_parts
from vclr.config import Config, load_config
from vclr.data.data_sets import evaluated_groups
from vclr.engine.shared_evaluation import evaluate, evaluate_model
from vclr.engine.signals import StopSignals
from vclr.errors import UsageError, UserError
from vclr.evaluation.evaluate import (
    evaluate_file,
    evaluate_parts,
    evaluate_shard,
    make_scorer,
    open_test_set,
    part_path,
    predict_part,
)
from vclr.evaluation.recall import score
from vclr.file_lock import lock_file
from vclr.files import read_json, sha256, write_json
from vclr.generate.toy import write_toy_world
from vclr.models.build import build_model
from vclr.outputs import EVALUATION, check_output_folder
from vclr.shards import WHOLE, Shard

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_toy_world(root, num_train=1, num_val=5, size=64, quiet=True)
    return root / "raw" / "toy"


def make_config(world: Path, *overrides: str) -> Config:
    own = [
        f"data.test.annotations={world}/annotations_val.json",
        f"data.test.images={world}/images",
        "data.test.proposals=''",
    ]
    small = ["dataloader.test.mapper.short_edge_length=64", "model.num_queries=20", "dataloader.test.batch_size=2"]
    return load_config(DEMO, [*own, *small, *overrides])


def test_files_hold_what_is_returned(world: Path, tmp_path: Path):
    config = make_config(world)
    metrics = evaluate(build_model(config), config, tmp_path, quiet=True)
    assert read_json(tmp_path / "metrics.json") == metrics
    assert metrics["num_images"] == 5
    assert set(metrics["groups"]) == {"known", "novel"}
    assert metrics["box_ar@100"] == metrics["groups"]["novel"]["box_ar@100"], "the protocol of the demo is novel"
    predictions = read_json(tmp_path / "predictions.json")
    assert {prediction["category_id"] for prediction in predictions} == {1}
    assert {prediction["image_id"] for prediction in predictions} <= {1, 2, 3, 4, 5}
    assert all({"bbox", "score", "segmentation"} <= prediction.keys() for prediction in predictions)


def test_metrics_can_be_computed_from_the_files_alone(world: Path, tmp_path: Path):
    config = make_config(world, "evaluation.protocol=''")
    metrics = evaluate(build_model(config), config, tmp_path, quiet=True)
    again = score(world / "annotations_val.json", tmp_path / "predictions.json", intervals=True)
    assert {key: metrics[key] for key in again} == again


@pytest.mark.parametrize("protocol", ["known", "novel", "''"])
def test_headline_is_that_of_the_protocol(world: Path, tmp_path: Path, protocol: str):
    config = make_config(world, f"evaluation.protocol={protocol}")
    model = build_model(config)
    metrics = evaluate(model, config, tmp_path, quiet=True)
    in_training = evaluate_model(model, config, open_test_set(config), StopSignals(), 0)
    assert {key: metrics[key] for key in in_training} == in_training


def test_boxes_only(world: Path, tmp_path: Path):
    config = make_config(world, "dataloader.train.mapper.mask_on=False")
    metrics = evaluate(build_model(config), config, tmp_path, quiet=True)
    assert metrics["mask_ar@100"] is None
    assert metrics["box_ar@100"] is not None


def test_group_of_an_unknown_class_is_one_line(world: Path, tmp_path: Path):
    config = make_config(world, "evaluation.groups.novel=[dragon]")
    with pytest.raises(
        UserError, match=r"evaluation\.groups\.novel: .*annotations_val\.json: has no category 'dragon'"
    ):
        evaluate(build_model(config), config, tmp_path, quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("count", "workers"), [(2, 0), (3, 1), (7, 0)])  # of 5 images in 3 batches
def test_shards_find_and_count_what_one_process_does(world: Path, tmp_path: Path, count: int, workers: int):
    config = make_config(world, f"dataloader.test.num_workers={workers}")
    model = build_model(config)
    metrics = evaluate(model, config, tmp_path / "whole", quiet=True)
    shards = [Shard(number, count) for number in range(1, count + 1)]
    parts = [evaluate_shard(model, config, tmp_path / str(shard.number), shard, quiet=True) for shard in shards]
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["predictions.json", "provenance.json"]
    assert evaluate_parts(parts, config, tmp_path / "joined") == metrics
    for name in ("metrics.json", "predictions.json", "bootstrap.npz"):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert ([] in map(read_json, parts)) == (count > 3)


class KilledError(Exception):
    """Stands for whatever ends an evaluation in the midst."""


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_goes_on_where_it_was_stopped(world: Path, tmp_path: Path, workers: int):
    config = make_config(world, f"dataloader.test.num_workers={workers}")
    model, samples = build_model(config), open_test_set(config)
    evaluate(model, config, tmp_path / "whole", quiet=True)
    received: list[int | str] = []

    def receive(image_id: int | str, _: object) -> None:
        received.append(image_id)
        if len(received) == 4:  # the second of the second batch
            raise KilledError

    def again(source: str) -> None:
        predict_part(model, config, samples, tmp_path, {"source": source}, True, WHOLE, receive)

    with pytest.raises(KilledError):
        again("one")
    with open(part_path(tmp_path, WHOLE), "a") as file:
        file.write('{"image_id": 1, "sco')
    again("one")
    ids = [image["id"] for image in samples.coco.images]
    assert received == [*ids[:4], *ids], "the first batch is received again, the second one evaluated again"
    join_parts([part_path(tmp_path, WHOLE)], tmp_path / "joined.json")
    assert (tmp_path / "joined.json").read_bytes() == (tmp_path / "whole" / "predictions.json").read_bytes()
    with lock_file(part_path(tmp_path, WHOLE), "busy"), pytest.raises(UserError, match="another process writes"):
        again("one")
    again("another")
    assert received[9:] == ids


def test_a_part_of_another_version_is_begun_again(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = make_config(world)
    samples = open_test_set(config)
    for version in ("1", "2"):
        monkeypatch.setattr(vclr, "__version__", version)
        predict_part(build_model(config), config, samples, tmp_path, {}, True, WHOLE)
        lines = part_path(tmp_path, WHOLE).read_bytes().splitlines(keepends=True)
        assert len(lines) == 6
        assert b"{}\n" not in lines
        part_path(tmp_path, WHOLE).write_bytes(b"".join([lines[0], *[b"{}\n"] * 2]))  # a batch
    predict_part(build_model(config), config, samples, tmp_path, {}, True, WHOLE)
    assert part_path(tmp_path, WHOLE).read_bytes().splitlines()[1] == b"{}", "the same version goes on"


@pytest.mark.parametrize("is_new", [True, False])
def test_a_failed_evaluation_leaves_folders_as_they_were(
    world: Path, tmp_path: Path, is_new: bool, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise UserError("before the first result")

    monkeypatch.setattr("vclr.evaluation.evaluate.predict_data_set", fail)
    config, output = make_config(world), tmp_path / "out"
    if not is_new:
        output.mkdir()
    for run in (evaluate, partial(evaluate_shard, shard=Shard(1, 2))):
        with pytest.raises(UserError, match="before the first"):
            run(build_model(config), config, output, quiet=True)
        assert output.exists() != is_new
    assert is_new or not list(output.iterdir())


def test_parts_that_another_process_writes_stay(world: Path, tmp_path: Path):
    config, other = make_config(world), part_path(tmp_path, Shard(2, 3))
    for run in (evaluate, partial(evaluate_shard, shard=Shard(1, 2))):
        with lock_file(other, "busy"), pytest.raises(UserError, match="another process writes results here"):
            run(build_model(config), config, tmp_path, quiet=True)
        assert [path.name for path in tmp_path.iterdir()] == [other.name]
    evaluate(build_model(config), config, tmp_path, quiet=True)
    assert not other.exists(), "its process has ended"


def test_copies_are_reported_once(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    found = {"image_id": 2, "category_id": 1, "score": 0.5, "bbox": [1, 1, 20, 20]}
    write_json(tmp_path / "found.json", [found, found])
    evaluate_file(tmp_path / "found.json", make_config(world), tmp_path)
    assert caplog.text.count(f"{tmp_path}/found.json: 1 prediction is a copy of another") == 1


def test_shards_are_checked_like_one_file(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config, found = make_config(world), {"image_id": 2, "category_id": 1, "score": 0.5, "bbox": [500, 1, 20, 20]}
    parts = [tmp_path / "a.json", tmp_path / "b.json"]
    write_json(parts[0], [found])
    write_json(parts[1], [{**found, "image_id": 3}])
    evaluate_parts(parts, config, tmp_path / "out")
    says = f"the 2 files of predictions: 2 boxes lie outside of their images, the first one at {parts[0]}: [0]"
    assert says in caplog.text
    for number, part in enumerate(parts):
        write_json(part, [{**found, "image_id": number + 2, "bbox": [0.1, 0.1, 0.5, 0.5]}])
    with pytest.raises(UserError, match="the 2 files of predictions: all 2 boxes lie within 1 px"):
        evaluate_parts(parts, config, tmp_path / "out")


def test_parts_that_do_not_fit_are_named(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config = make_config(world)
    found = {"image_id": 2, "category_id": 1, "score": 0.5, "bbox": [1, 1, 20, 20]}
    write_json(tmp_path / "a.json", [found])
    write_json(tmp_path / "b.json", {"annotations": [found]})
    for names, message in [
        ("aa", r"a\.json: holds predictions for image 2, and so does .*a\.json"),
        ("ab", r"b\.json: is not a list"),
        ("ac", r"c\.json: cannot be read"),
    ]:
        with pytest.raises(UserError, match=message):
            evaluate_parts([tmp_path / f"{name}.json" for name in names], config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_json(tmp_path / "c.json", [{**found, "image_id": 3}])
    evaluate_parts([tmp_path / "a.json", tmp_path / "c.json"], config, tmp_path / "out")
    assert "3 of 5 images have no predictions" in caplog.text


def test_the_folder_of_a_file_is_of_one_evaluation(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config, file, output = make_config(world), tmp_path / "found.json", tmp_path / "out"
    evaluate(build_model(config), config, output, quiet=True)
    write_json(output / "provenance.json", {"checkpoint": None, "shard": "1/2"})  # a shard was there before
    found = [{"score": 0.5, "bbox": [1, 1, 20, 20], "category_id": 1, "image_id": number} for number in (2, 3)]
    write_json(file, found)
    metrics = evaluate_file(file, config, output)
    assert read_json(output / "predictions.json") == found
    assert not (output / "provenance.json").exists()
    assert f"{file}: 3 of 5 images have no predictions" in caplog.text
    check_output_folder(output, {}, EVALUATION)  # may be written again
    assert metrics["provenance"]["predictions"] == [{"path": str(file), "sha256": sha256(file)}]
    proposals = {**read_json(world / "annotations_val.json"), "annotations": [{**one, "id": 1} for one in found]}
    write_json(file, proposals)
    evaluate_file(file, config, output)
    assert sorted(path.name for path in output.iterdir()) == ["bootstrap.npz", "metrics.json"]
    file = file.rename(output / "predictions.json")
    evaluate_file(file, config, output)
    assert read_json(file) == proposals


def test_predictions_are_checked_once_for_all_groups(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = make_config(world, "evaluation.protocol=''")
    metrics = evaluate(build_model(config), config, tmp_path / "one", quiet=True)
    checked, accept = [], PredictionChecks.accept

    def count(checks: PredictionChecks, found: list[Prediction], entry: str) -> bool:
        checked.extend(found)
        return accept(checks, found, entry)

    monkeypatch.setattr(PredictionChecks, "accept", count)
    again = evaluate_file(tmp_path / "one" / "predictions.json", config, tmp_path / "two")
    assert len(checked) == len(read_json(tmp_path / "one" / "predictions.json"))
    assert again == metrics
    for group, names in {**evaluated_groups(config), "": None}.items():
        alone = score(
            world / "annotations_val.json", tmp_path / "one" / "predictions.json", categories=names, intervals=True
        )
        own = again["groups"][group] if group else again
        assert {key: own[key] for key in alone} == alone


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("evaluation.protocol=novl", "evaluation.protocol=novl: unknown protocol; nearest: novel"),
        ("data.test.images=elsewhere", "data.test.images=elsewhere: does not exist"),
        ("evaluation.groups.novel=[dragon]", "has no category 'dragon'"),
    ],
)
def test_names_are_checked_before_the_checkpoint_is_read(world: Path, tmp_path: Path, override: str, says: str):
    (tmp_path / "last.pt").write_bytes(b"not a checkpoint")
    data = [f"data.test.annotations={world}/annotations_val.json", f"data.test.images={world}/images"]
    arguments = ["evaluate", "--config-file", str(DEMO), "--checkpoint", str(tmp_path / "last.pt")]
    refused = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out"), *data, override])
    assert isinstance(refused.exception, UserError)
    assert says in str(refused.exception)
    assert not (tmp_path / "out").exists()


def write_boxes(world: Path, folder: Path) -> Path:
    """Write the test set without its masks."""
    coco = read_json(world / "annotations_val.json")
    for annotation in coco["annotations"]:
        del annotation["segmentation"]
    write_json(folder / "boxes.json", coco)
    return folder / "boxes.json"


def test_without_masks_to_compare_with_only_boxes_are_found(world: Path, tmp_path: Path):
    model = build_model(make_config(world))
    with_masks = evaluate(model, make_config(world), tmp_path / "masks", quiet=True)
    boxes = make_config(world, f"data.test.annotations={write_boxes(world, tmp_path)}")
    only_boxes = evaluate(model, boxes, tmp_path / "boxes", quiet=True)
    evaluate_shard(model, boxes, tmp_path / "shard", Shard(1, 1), quiet=True)

    found = read_json(tmp_path / "masks" / "predictions.json")
    for prediction in found:
        del prediction["segmentation"]
    assert read_json(tmp_path / "boxes" / "predictions.json") == found
    assert read_json(tmp_path / "shard" / "predictions.json") == found
    of_boxes = {name for name in with_masks if name.startswith("box_")}
    assert {name: only_boxes[name] for name in of_boxes} == {name: with_masks[name] for name in of_boxes}
    assert with_masks["mask_ar@100"] is not None
    assert only_boxes["mask_ar@100"] is None


def run_evaluate(world: Path, output: Path, *arguments: str) -> Any:
    own = [f"data.test={{annotations: {world}/annotations_val.json, images: {world}/images, proposals: ''}}"]
    own += [f"evaluation.test_sets.boxes={{annotations: {world}/boxes.json, images: {world}/images}}"]
    small = ["dataloader.test.mapper.short_edge_length=64", "model.num_queries=10", "dataloader.test.num_workers=0"]
    command = ["evaluate", "--config-file", str(DEMO), "--output", str(output), "--quiet", *arguments]
    return CliRunner().invoke(app, [*command, *own, *small])


def test_several_protocols_are_evaluated_like_each_alone(world: Path, tmp_path: Path):
    write_boxes(world, world)
    together = run_evaluate(world, tmp_path / "all", "--protocol", "novel,boxes", "--protocol", "known")
    assert together.exit_code == 0, together.output
    assert [line.partition(":")[0] for line in together.stdout.splitlines()] == [
        f"{protocol}/{group}" for protocol in ("novel", "boxes", "known") for group in ("known", "novel")
    ]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["boxes", "known", "novel"]
    for protocol in ("novel", "boxes"):
        assert run_evaluate(world, tmp_path / protocol, "--protocol", protocol).exit_code == 0
        for file in ("metrics.json", "predictions.json"):
            assert (tmp_path / "all" / protocol / file).read_bytes() == (tmp_path / protocol / file).read_bytes()


def test_protocols_that_are_done_are_left_out(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_boxes(world, world)
    config = make_config(world, "model.num_queries=10")
    torch.save({"model": build_model(config).state_dict()}, tmp_path / "model.pth")

    def run(*arguments: str) -> str:
        caplog.clear()
        with caplog.at_level("INFO", "vclr"):
            done = run_evaluate(world, tmp_path / "out", "--checkpoint", str(tmp_path / "model.pth"), *arguments)
        assert done.exit_code == 0, done.output
        assert done.stdout.count("novel/known:") == 1
        return caplog.text

    first, second = tmp_path / "out" / "novel", tmp_path / "out" / "boxes"
    assert "evaluated before" not in run("--protocol", "novel,boxes")
    written = (first / "metrics.json").stat().st_mtime_ns
    (second / "metrics.json").unlink()
    assert run("--protocol", "novel,boxes").count("was evaluated before") == 1
    assert (first / "metrics.json").stat().st_mtime_ns == written
    assert (second / "metrics.json").exists()
    os.utime(first / "predictions.json")  # by an evaluation that was stopped
    assert f"{second}: was evaluated before" in (said := run("--protocol", "novel,boxes"))
    assert f"{first}: was evaluated before" not in said
    assert "evaluated before" not in run("--protocol", "novel,boxes", "train.seed=9")


@pytest.mark.parametrize(
    ("protocols", "error"),
    [
        ("novel,uvo", "uvo_val_nonvoc_published.json: does not exist"),
        ("novel,nvel", "evaluation.protocols=nvel: unknown protocol; nearest: novel"),
        ("novel,novel", "evaluation.protocols: names novel twice"),
        ("novel,", "--protocol novel,: expected names separated by commas"),
    ],
)
def test_a_mistake_in_one_protocol_is_said_before_work_starts(world: Path, tmp_path: Path, protocols: str, error: str):
    failed = run_evaluate(world, tmp_path, "--protocol", protocols, f"data.root={tmp_path}/data")
    assert failed.exit_code
    assert error in str(failed.exception)
    assert not list(tmp_path.rglob("*.json"))


def test_the_largest_number_of_predictions_is_recorded_and_said(world: Path, tmp_path: Path):
    done = run_evaluate(world, tmp_path, "--protocol", "known")
    found, metrics = read_json(tmp_path / "predictions.json"), read_json(tmp_path / "metrics.json")
    most = max(Counter(prediction["image_id"] for prediction in found).values())
    assert metrics["groups"]["known"]["max_predictions"] == metrics["max_predictions"] == most <= 10
    assert metrics["mask_ar@100"] == metrics["mask_ar@10"], "the json keeps all numbers"
    lines = done.stdout.splitlines()
    assert all("mask_ar@100 - (at most " in line for line in lines) and len(lines) == 2
    assert f"(at most {most} predictions per image, so recall at 100 is left out)" in lines[0]


def test_processes_agree_on_the_largest_number_of_predictions(world: Path):
    config = make_config(world, "evaluation.protocol=''")
    samples = open_test_set(config)
    found = {"category_id": 1, "score": 0.5, "bbox": [1, 1, 20, 20]}
    for counts in ((3, 5), (5, 3)):
        first, second = make_scorer(config, samples), make_scorer(config, samples)
        for image_id, (scorer, count) in enumerate(zip((first, second), counts, strict=True), start=1):
            scorer.add(image_id, [{**found, "image_id": image_id}] * count)
        first.merge(second.tallies)
        assert first.max_predictions()[""] == 5


def test_score_warns_of_a_cap(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    found = {"image_id": 2, "category_id": 1, "score": 0.5, "bbox": [1, 1, 20, 20]}
    write_json(tmp_path / "found.json", [{**found, "score": place / 99} for place in range(12)])
    for class_aware, per in ((False, "image"), (True, "image and class")):
        caplog.clear()
        metrics = score(world / "annotations_val.json", tmp_path / "found.json", class_aware=class_aware)
        says = f"found.json: at most 12 predictions per {per}, so recall at 30, 50, 100 and 300 equals recall at 20"
        assert caplog.text.count(says) == 1
        assert metrics["box_ar@300"] is not None
    caplog.clear()
    score(world / "annotations_val.json", tmp_path / "found.json", max_dets=[1, 10, 100])
    assert "at most" not in caplog.text


def test_boundaries_are_measured_as_score_does(world: Path, tmp_path: Path):
    config = make_config(world, "evaluation.protocol=''")
    plain = evaluate(build_model(config), config, tmp_path / "plain", quiet=True)
    boundary = make_config(world, "evaluation.protocol=''", "evaluation.boundary=True")
    metrics = evaluate_file(tmp_path / "plain" / "predictions.json", boundary, tmp_path / "file")
    again = score(
        world / "annotations_val.json", tmp_path / "plain" / "predictions.json", intervals=True, boundary=True
    )
    assert {key: metrics[key] for key in again} == again
    assert metrics["boundary_ar@100"] is not None
    assert len([name for name in again["intervals"] if name.startswith("boundary_")]) > 0
    assert "novel/boundary_ar@100" in np.load(tmp_path / "file" / "bootstrap.npz").files
    assert not any(name.startswith("boundary") for name in plain)
    assert {key: metrics[key] for key in plain.keys() - {"groups", "provenance", "intervals"}} == {
        key: plain[key] for key in plain.keys() - {"groups", "provenance", "intervals"}
    }
    shards = [evaluate_shard(build_model(config), boundary, tmp_path / n, Shard(int(n), 2), True) for n in "12"]
    assert metrics["provenance"].pop("predictions"), "they were not made with these settings"
    assert evaluate_parts(shards, boundary, tmp_path / "joined") == metrics
    in_training = make_scorer(boundary, open_test_set(boundary), only_headline=True)
    assert {kind for _, kind in in_training.tallies} == {"box", "mask"}


@pytest.mark.slow
def test_boundaries_are_printed_and_need_an_evaluation_of_their_own(world: Path, tmp_path: Path):
    config = make_config(world, "model.num_queries=10")
    torch.save({"model": build_model(config).state_dict()}, tmp_path / "model.pth")
    words = ("--checkpoint", str(tmp_path / "model.pth"), "--protocol", "known,novel")
    for setting, is_measured in (("evaluation.boundary=false", False), ("evaluation.boundary=true", True)):
        done = run_evaluate(world, tmp_path / "out", *words, setting)
        assert done.exit_code == 0, done.output
        assert ("boundary_ar@100" in done.stdout) == is_measured
        assert ("boundary_ar@10" in read_json(tmp_path / "out" / "known" / "metrics.json")) == is_measured


def test_boundaries_need_masks(world: Path, tmp_path: Path):
    for own, says in (
        (f"data.test.annotations={write_boxes(world, tmp_path)}", "evaluation.boundary: .*boxes.json has no masks"),
        ("dataloader.train.mapper.mask_on=False", "evaluation.boundary: this protocol or training is of boxes"),
    ):
        config = make_config(world, own, "evaluation.boundary=True")
        for run in (evaluate, partial(evaluate_shard, shard=Shard(1, 2))):
            with pytest.raises(UsageError, match=says):
                run(build_model(config), config, tmp_path / "out", quiet=True)
        assert not (tmp_path / "out").exists()
