"""Samples: independent of what was drawn before, in step with their views, and clear about data that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.object_proposals.joined import add_proposals
from vclr.config import Config, load_config
from vclr.data.loader import TrainingLoader
from vclr.data.readiness import check_names
from vclr.data.samples import TestSamples as EvaluatedSamples
from vclr.data.samples import TrainingSamples
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json
from vclr.generate.pack import pack_folder
from vclr.pictures import write_png

MakeConfig = Callable[..., Config]
KEEP_EMPTY = "dataloader.train.dataset.filter_empty=False"


@pytest.fixture
def own_data(tmp_path: Path, make_config: MakeConfig) -> Callable[..., Config]:
    """A data set of one 20 x 30 photo with two objects, whose json a test may change."""
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    write_png(tmp_path / "images" / "a.png", photo)
    image = {"id": 7, "file_name": "a.png", "height": 20, "width": 30}
    objects = [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [2, 2, 8, 8], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [15, 4, 10, 12], "iscrowd": 0},
    ]
    coco = {"images": [image], "annotations": objects, "categories": [{"id": 1, "name": "thing"}]}

    def write(change: Callable[[dict[str, Any]], Any] = lambda _: None, *overrides: str) -> Config:
        change(coco)
        write_json(tmp_path / "a.json", coco)
        own = [f"data.{part}.{key}" for part in ("train", "test") for key in ("annotations", "images")]
        values = [f"{tmp_path}/a.json", f"{tmp_path}/images"] * 2
        paths = [f"{key}={value}" for key, value in zip(own, values, strict=True)]
        natural = ["data.train.views={depth: '', style: ''}", "views.weights={natural: 1, depth: 0, style: 0}"]
        return make_config(*paths, *natural, "dataloader.train.mapper.short_edge_length=[20]", *overrides)

    return write


def test_samples_do_not_depend_on_history(make_config: MakeConfig):
    config = make_config("dataloader.train.mapper.crop_probability=0.5", "dataloader.train.mapper.crop_size=[40,60]")
    samples, again = TrainingSamples(config), TrainingSamples(config)
    np.random.seed(0)
    torch.manual_seed(0)
    forward = [samples[1, index] for index in range(len(samples))]
    for index in reversed(range(len(samples))):
        sample = again[1, index]
        assert torch.equal(sample.image, forward[index].image)
        assert sample.view == forward[index].view
        assert torch.equal(sample.target.boxes, forward[index].target.boxes)


@pytest.fixture
def packed_config(world: Path, tmp_path: Path, make_config: MakeConfig) -> MakeConfig:
    """The settings of `make_config` on a copy of its world in which photos and views are zips."""
    shutil.copytree(world, tmp_path / "packed")
    folders = [tmp_path / "packed" / name for name in ("raw/toy/images", "views/toy/depth", "views/toy/style")]
    keys = ("images", "views.depth", "views.style")
    for folder in folders:
        pack_folder(folder, remove=True, quiet=True)
    own = [f"data.train.{key}={folder}" for key, folder in zip(keys, folders, strict=True)]
    return lambda *overrides: make_config(*own, f"data.test.images={folders[0]}.zip", *overrides)


def test_packed_sets_give_the_same_samples(make_config: MakeConfig, packed_config: MakeConfig):
    views = "views.weights={natural: 1, depth: 1, style: 1, fourier: 1}"  # the last one borrows from other photos
    plain, packed = TrainingSamples(make_config(views)), TrainingSamples(packed_config(views))
    seen = set()
    for epoch in range(3):
        for index in range(len(plain)):
            first, second = plain[epoch, index], packed[epoch, index]
            seen.add(first.view)
            assert first.view == second.view
            assert torch.equal(first.image, second.image)
            assert torch.equal(first.teacher_image, second.teacher_image)
            assert torch.equal(first.target.masks, second.target.masks)
    assert len(seen) == 4
    for first, second in zip(EvaluatedSamples(make_config()), EvaluatedSamples(packed_config()), strict=True):
        assert torch.equal(first.image, second.image)


@pytest.mark.parametrize("workers", [0, 2])
def test_packed_sets_are_shared_by_workers(make_config: MakeConfig, packed_config: MakeConfig, workers: int):
    batches = []
    for make in (make_config, packed_config):
        config = make(f"dataloader.train.num_workers={workers}")
        loader = iter(TrainingLoader(config, TrainingSamples(config)))
        batches.append([next(loader) for _ in range(4)])
        del loader
    for first, second in zip(*batches, strict=True):
        assert torch.equal(first.images, second.images)


def test_photo_missing_in_a_zip_is_named(tmp_path: Path, own_data: MakeConfig):
    config = own_data(lambda coco: coco["images"][0].update(file_name="b.png"))
    pack_folder(tmp_path / "images", remove=True, quiet=True)
    with pytest.raises(UserError, match=r"image .*: file .*images\.zip/b\.png does not exist"):
        TrainingSamples(config)


def test_view_missing_in_a_zip_is_named(tmp_path: Path, own_data: MakeConfig):
    write_png(tmp_path / "depth" / "b.png", np.zeros((20, 30, 3), np.uint8))
    pack_folder(tmp_path / "depth", remove=True, quiet=True)
    views = [
        f"data.train.views={{depth: {tmp_path}/depth, style: ''}}",
        "views.weights={natural: 1, depth: 1, style: 0}",
    ]
    with pytest.raises(UserError, match=r"depth: view depth of 1 photos is missing; the first: a\.png"):
        TrainingSamples(own_data(lambda _: None, *views))


def test_epochs_draw_anew(make_config: MakeConfig):
    samples = TrainingSamples(make_config())
    assert len({samples[epoch, 0].view for epoch in range(20)}) == 3


def test_targets_are_the_annotations(own_data: MakeConfig):
    config = own_data(lambda _: None, "dataloader.train.mapper.crop_probability=0")
    samples = TrainingSamples(config)
    flipped = 0
    for epoch in range(8):
        target = samples[epoch, 0].target
        assert target.labels.tolist() == [0, 0]
        assert target.image_id == 7
        assert target.masks.flatten(1).sum(1).tolist() == [64, 120]
        left, right = (2 + 4) / 30, 1 - (2 + 4) / 30
        is_flipped = abs(target.boxes[0, 0].item() - right) < 1e-6
        flipped += is_flipped
        expected = [right if is_flipped else left, (2 + 4) / 20, 8 / 30, 8 / 20]
        np.testing.assert_allclose(target.boxes[0], expected, rtol=1e-5)
    assert 0 < flipped < 8


def test_masks_fill_their_boxes(make_config: MakeConfig):
    samples = TrainingSamples(make_config())
    for index in range(len(samples)):
        target = samples[0, index].target
        size = torch.tensor([target.masks.shape[2], target.masks.shape[1]] * 2)
        for box, mask in zip(target.boxes * size, target.masks, strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            width, height = columns.max() + 1 - columns.min(), rows.max() + 1 - rows.min()
            assert abs(width - box[2]) <= 2
            assert abs(height - box[3]) <= 2


def test_crowds_are_not_trained_on(own_data: MakeConfig):
    samples = TrainingSamples(own_data(lambda coco: coco["annotations"][0].update(iscrowd=1)))
    assert len(samples[0, 0].target) == 1


def test_images_without_objects(own_data: MakeConfig):
    def empty(coco: dict) -> None:
        coco["annotations"] = []

    with pytest.raises(UserError, match=r"a\.json: holds no image with an object"):
        TrainingSamples(own_data(empty))
    sample = TrainingSamples(own_data(empty, "dataloader.train.dataset.filter_empty=False"))[0, 0]
    assert len(sample.target) == 0
    assert sample.target.boxes.shape == (0, 4)
    assert sample.target.masks.shape == (0, *sample.image.shape[1:])


def test_crop_that_loses_every_object_leaves_an_empty_target(own_data: MakeConfig):
    def at_the_corner(coco: dict) -> None:
        coco["annotations"] = [{**coco["annotations"][0], "bbox": [0, 0, 1, 1]}]

    mapper = "dataloader.train.mapper"
    crop = [f"{mapper}.crop_probability=1", f"{mapper}.crop_size=[4,6]", f"{mapper}.crop_short_edge_length=[20]"]
    samples = TrainingSamples(own_data(at_the_corner, *crop))
    sizes = {len(samples[epoch, 0].target) for epoch in range(60)}
    assert 0 in sizes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda coco: coco["images"][0].update(file_name="b.png"), ": file "),
        (lambda coco: coco["images"][0].update(file_name="../../etc/passwd"), "leaves the image folder"),
        (lambda coco: coco["annotations"][1].update(image_id=8), "annotations[1] (id 2): image 8 is not in `images`"),
        (lambda coco: coco["annotations"][1].update(bbox=[1, 1, 5]), "annotations[1] (id 2): bbox [1, 1, 5]"),
    ],
)
@pytest.mark.parametrize("kind", [TrainingSamples, EvaluatedSamples])
def test_bad_annotations_are_found_before_the_first_sample(own_data: MakeConfig, kind: type, change: Any, says: str):
    with pytest.raises(UserError) as caught:
        kind(own_data(change))
    assert says in str(caught.value)
    assert "a.json" in str(caught.value)


def test_photo_of_another_size_than_its_entry_is_named(own_data: MakeConfig):
    config = own_data(lambda coco: coco["images"][0].update(width=31))
    with pytest.raises(UserError, match=r"a\.png: is 30x20, its entry \(id 7\) says 31x20"):
        TrainingSamples(config)[0, 0]


def test_photo_that_is_none_is_named(own_data: MakeConfig, tmp_path: Path):
    config = own_data()
    (tmp_path / "images" / "a.png").write_text("not an image")
    with pytest.raises(UserError, match=r"a\.png: is not an image"):
        TrainingSamples(config)[0, 0]


def test_missing_files_name_their_setting(make_config: MakeConfig):
    for key in ("train.annotations", "train.images", "train.proposals", "train.views.depth"):
        with pytest.raises(UserError, match=f"data.{key}=/absent: does not exist"):
            TrainingSamples(make_config(f"data.{key}=/absent"))


def test_unknown_views_and_sets_name_the_nearest(make_config: MakeConfig):
    with pytest.raises(UsageError, match=r"views\.weights\.egde.*nearest: edge"):
        TrainingSamples(make_config("views.weights.egde=1"))
    with pytest.raises(UsageError, match=r"data\.train\.views\.natural: natural is the photo itself"):
        TrainingSamples(make_config("data.train.views.natural=folder"))
    with pytest.raises(
        UsageError, match="dataloader.train.dataset.names=toy_tain: not in the catalog; nearest: toy_tr"
    ):
        TrainingSamples(make_config("data.train.annotations=''", "dataloader.train.dataset.names=toy_tain"))
    with pytest.raises(UsageError, match="evaluation.protocol=nvel: unknown protocol; nearest: novel"):
        EvaluatedSamples(make_config("evaluation.protocol=nvel"))


def test_missing_view_file_is_counted_and_named(make_config: MakeConfig, tmp_path: Path):
    with pytest.raises(UserError, match=r"view depth of \d+ photos is missing; the first: train_\d+\.png"):
        TrainingSamples(make_config(f"data.train.views.depth={tmp_path}"))


def test_view_of_another_size_is_named(own_data: MakeConfig, tmp_path: Path):
    write_png(tmp_path / "depth" / "a.png", np.zeros((20, 29, 3), np.uint8))
    views = [f"data.train.views.depth={tmp_path}/depth", "views.weights={natural: 0, depth: 1, style: 0}"]
    with pytest.raises(UserError, match=r"a\.png: is 29x20, its photo a\.png is 30x20"):
        TrainingSamples(own_data(lambda _: None, *views))[0, 0]


def test_evaluated_set_names_its_original_size(own_data: MakeConfig):
    sample = EvaluatedSamples(own_data(lambda _: None, "dataloader.test.mapper.short_edge_length=40"))[0]
    assert sample.original_size == (20, 30)
    assert sample.image.shape == (3, 40, 60)


# --- proposals ---------------------------------------------------------------------------------------------------


def write_proposals(path: Path, entries: list[tuple[list[float], float]], name: str = "a.png") -> Path:
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "score": score}
        for number, (box, score) in enumerate(entries)
    ]
    image = {"id": 1, "file_name": name, "height": 20, "width": 30}
    path.write_text(json.dumps({"images": [image], "annotations": annotations}))
    return path


def test_best_proposals_that_are_not_annotated_join(own_data: MakeConfig, tmp_path: Path):
    known = read_json(own_data().data.train.annotations)
    path = write_proposals(
        tmp_path / "p.json",
        [([2, 2, 8, 8], 0.9), ([0, 12, 6, 6], 0.5), ([20, 16, 4, 4], 0.7), ([0, 12, 6, 7], 0.4), ([26, 0, 4, 4], 0.1)],
    )
    joined = add_proposals(known, path, top_k=2, max_iou=0.5)["annotations"]
    assert joined[:2] == known["annotations"]
    assert [annotation["bbox"] for annotation in joined[2:]] == [[20, 16, 4, 4], [0, 12, 6, 6]]
    assert {annotation["image_id"] for annotation in joined} == {7}
    assert len({annotation["id"] for annotation in joined}) == 4
    everything = add_proposals(known, path, top_k=9, max_iou=0.5)["annotations"]
    assert len(everything) == 5, "annotated and doubled objects stay out"


def test_proposals_are_trained_on(own_data: MakeConfig, tmp_path: Path):
    path = write_proposals(tmp_path / "p.json", [([20, 16, 4, 4], 0.7)])
    samples = TrainingSamples(own_data(lambda _: None, f"data.train.proposals={path}"))
    assert len(samples[0, 0].target) == 3


def test_a_photo_without_annotations_is_trained_on_if_it_has_a_proposal(own_data: MakeConfig, tmp_path: Path):
    """As if the proposals were in the json of the annotations."""

    def change(coco: dict[str, Any]) -> None:
        coco["images"] += [{**coco["images"][0], "id": number, "file_name": f"{number}.png"} for number in (8, 9)]

    for number in (8, 9):
        write_png(tmp_path / "images" / f"{number}.png", np.zeros((20, 30, 3), np.uint8))
    path = write_proposals(tmp_path / "p.json", [([20, 16, 4, 4], 0.7)], "8.png")
    config = own_data(change, f"data.train.proposals={path}")
    samples = TrainingSamples(config)
    assert {int(number): len(samples[0, index].target) for index, number in enumerate(samples.images.ids)} == {
        7: 2,
        8: 1,
    }
    write_json(tmp_path / "a.json", add_proposals(read_json(tmp_path / "a.json"), path, top_k=10, max_iou=0.5))
    config.data.train.proposals = ""
    assert [*TrainingSamples(config).images.ids] == [7, 8]


def test_proposals_alone_are_trained_on(own_data: MakeConfig, tmp_path: Path):
    """Also one that overlaps an annotation, which does not count."""
    path = write_proposals(tmp_path / "p.json", [([20, 16, 4, 4], 0.7), ([2, 2, 8, 8], 0.9)])
    own = f"data.train.proposals={path}", "proposals.only=True"
    boxes = TrainingSamples(own_data(lambda _: None, *own))[0, 0].target.boxes
    sizes = sorted((boxes[:, 2:] * torch.tensor([30, 20])).round().tolist())
    assert sizes == [[4, 4], [8, 8]]
    assert len(TrainingSamples(own_data(lambda _: None, *own, "proposals.top_k=1"))[0, 0].target) == 1


def test_proposals_alone_are_those_with_a_score(own_data: MakeConfig):
    def change(coco: dict[str, Any]) -> None:
        coco["images"] += [{**coco["images"][0], "id": 8}, {**coco["images"][0], "id": 9}]
        first = coco["annotations"][0]
        coco["annotations"] += [
            {**first, "id": 3, "score": 0.5},
            {**first, "id": 4, "image_id": 8},
            {**first, "id": 5, "image_id": 9, "score": 0.1},
        ]

    samples = TrainingSamples(own_data(change, "proposals.only=True"))
    assert [*samples.images.ids] == [7, 9] and [len(samples[0, index].target) for index in range(2)] == [1, 1]
    every = TrainingSamples(own_data(lambda _: None, "proposals.only=True", KEEP_EMPTY))
    assert [*every.images.ids] == [7, 8, 9]


def test_proposals_alone_need_some(own_data: MakeConfig, make_config: MakeConfig, tmp_path: Path):
    says = r"^proposals\.only=True: .*\.json holds no object proposal \(with a `score`\); set data\.train\.proposals"
    with pytest.raises(UsageError, match=says):
        TrainingSamples(own_data(lambda _: None, "proposals.only=True"))
    for names in ("known_voc_classes_train2017", "toy_train"):  # said when a training is planned
        with pytest.raises(UsageError, match=says):
            check_names(load_config(None, [f"dataloader.train.dataset.names={names}", "proposals.only=True"]))
        for setting in ("two_losses.enabled=True", "consistency.objects=proposals"):
            apart = f"model.criterion.{setting}"
            with pytest.raises(UsageError, match=rf"^{apart}: .*\.json holds no object proposal"):
                check_names(load_config(None, [f"dataloader.train.dataset.names={names}", apart]))
    check_names(load_config(None, ["proposals.only=True"]))
    path = write_proposals(tmp_path / "p.json", [([20, 16, 4, 4], 0.7)])
    config = own_data(lambda _: None, f"data.train.proposals={path}", "proposals.only=True", "proposals.top_k=0")
    with pytest.raises(UsageError, match=r"p\.json: no proposal is chosen$"):
        TrainingSamples(config)


def test_proposals_of_other_photos_are_ignored(own_data: MakeConfig, tmp_path: Path):
    known = read_json(own_data().data.train.annotations)
    path = write_proposals(tmp_path / "p.json", [([20, 16, 4, 4], 0.7)], name="b.png")
    with pytest.raises(
        UserError,
        match=r"p\.json: has no image in common with a\.json: it has b\.png, for example, and a\.json has a\.png",
    ):
        add_proposals(known, path, 5, 0.5, "a.json")
    proposals = read_json(path)
    proposals["images"].append({**proposals["images"][0], "id": 99, "file_name": "./a.png"})
    write_json(path, proposals)
    assert add_proposals(known, path, 5, 0.5)["annotations"] == known["annotations"]


def test_proposal_without_a_score_is_named(own_data: MakeConfig, tmp_path: Path):
    known = read_json(own_data().data.train.annotations)
    path = write_proposals(tmp_path / "p.json", [([20, 16, 4, 4], "high")])
    with pytest.raises(UserError, match=r"p\.json: annotations\[0\] \(id 0\): has no `score`"):
        add_proposals(known, path, 5, 0.5)


def test_proposals_of_a_photo_of_another_size_are_refused(own_data: MakeConfig, tmp_path: Path):
    known = read_json(own_data().data.train.annotations)
    path = write_proposals(tmp_path / "p.json", [([20, 16, 4, 4], 0.7)])
    proposals = read_json(path)
    proposals["images"][0]["width"] += 1
    write_json(path, proposals)
    with pytest.raises(UserError, match=r"p\.json: images\[0\]: a\.png is 31x20, but a\.json says 30x20"):
        add_proposals(known, path, 5, 0.5, "a.json")
