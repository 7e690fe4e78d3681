"""Our data sets in detectron2's catalogs, and what their loaders and ours make of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.fixtures import run_python
from tests.shared import PHOTOS
from vclr.config import load_config
from vclr.errors import UsageError, UserError
from vclr.interop import register
from vclr.interop.data_sets import class_agnostic

CATALOGS = """
import json, sys, torch
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog, detection_utils
from detectron2.data import build_detection_test_loader, build_detection_train_loader
from detectron2.structures import BoxMode
from pathlib import Path
from tests.interop.trainer import settings_of
from vclr.interop import TestMapper, TrainMapper, VclrDetector, register
from vclr.interop.meta_architecture import to_target
from vclr.interop.settings import read_settings

settings = settings_of(Path(sys.argv[1]))
config = read_settings(settings)
train, test = register(config, "train"), register(config, "test")
assert register(config, "test") == test  # again
found, tested = DatasetCatalog.get(train), DatasetCatalog.get(test)
for one in found + tested:
    for annotation in one["annotations"]:
        assert annotation["bbox_mode"] == BoxMode.XYWH_ABS and annotation["category_id"] == 0
assert not any(annotation["iscrowd"] for one in found for annotation in one["annotations"])
options = dict(is_train=True, augmentations=[], use_instance_mask=True)
theirs = DatasetMapper(image_format="BGR", instance_mask_format="bitmask", **options)(found[0])
images = {}
for name, format in (("theirs", "BGR"), ("ours", "RGB")):
    model = VclrDetector(settings, format).train()
    inputs = [theirs] if name == "theirs" else [{**theirs, "image": theirs["image"].flip(0)}]
    torch.manual_seed(0)
    images[name] = {key: value.item() for key, value in model(inputs).items()}
assert images["theirs"] == images["ours"]
polygons = DatasetMapper(image_format="RGB", **options)(found[0])
size = polygons["image"].shape[1:]
of_polygons, of_bits = (to_target(one["instances"], size, 0) for one in (polygons, theirs))
ours = TrainMapper(settings)(found[0])
(evaluated,) = VclrDetector(settings).eval()([TestMapper(settings)(tested[0])])
meta = MetadataCatalog.get(test)
print(json.dumps({
    "images": [len(found), len(tested)],
    "classes": meta.thing_classes,
    "categories": len(json.load(open(meta.json_file))["categories"]),
    "masks": (of_polygons.masks != of_bits.masks).float().mean().item(),
    "boxes": (of_polygons.boxes - of_bits.boxes).abs().max().item(),
    "ours": sorted(ours),
    "size": list(evaluated["instances"].image_size) == [tested[0]["height"], tested[0]["width"]],
}))
"""


@pytest.mark.slow
def test_the_catalogs_hold_our_sets_and_both_mappers_read_them() -> None:
    if not PHOTOS.is_dir():
        pytest.skip("needs VCLR_SHARED")
    printed = json.loads(run_python(CATALOGS, str(PHOTOS)).splitlines()[-1])
    annotations = [json.loads((PHOTOS / f"annotations_{part}.json").read_text()) for part in ("train", "val")]
    with_objects = [{one["image_id"] for one in each["annotations"] if not one["iscrowd"]} for each in annotations]
    assert printed["images"] == [*map(len, with_objects)]
    assert printed["classes"] == ["object"] and printed["categories"] == 1
    assert printed["masks"] < 0.001 and printed["boxes"] == 0 and printed["size"]
    assert {"image", "instances", "view"} <= {*printed["ours"]}


NODE = """
import sys
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from vclr.interop import add_settings
cfg = get_cfg()
add_settings(cfg)
cfg.VCLR.OVERRIDES = ["model.num_queries=7", "model.backbone.depth=18", "model.backbone.res2_out_channels=64"]
cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE, cfg.INPUT.FORMAT = "VclrDetector", "cpu", "BGR"
model = build_model(cfg)
print(type(model).__name__, model.config.model.num_queries, model.input_format)
"""


@pytest.mark.slow
def test_a_node_of_their_configuration_builds_the_detector() -> None:
    assert run_python(NODE).split()[-3:] == ["VclrDetector", "7", "BGR"]


def test_a_test_set_of_several_classes_is_written_as_one(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    raw = world / "raw" / "toy"
    config = load_config(None, [f"data.test.annotations={raw}/annotations_val.json", f"data.test.images={raw}/images"])
    path = class_agnostic(config.data.test)
    written, source = json.loads(path.read_text()), json.loads((raw / "annotations_val.json").read_text())
    assert path.is_relative_to(tmp_path) and [one["name"] for one in written["categories"]] == ["object"]
    assert {one["category_id"] for one in written["annotations"]} == {1}
    assert len(written["annotations"]) == len(source["annotations"]) and written["images"] == source["images"]
    config.data.test.annotations = str(path)
    assert class_agnostic(config.data.test) == path  # it has one class


def test_without_detectron2_one_line_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(UserError, match="detectron2 (is not installed: pip install|cannot be imported)") as error:
        register(load_config(None), "train")
    assert "\n" not in str(error.value)


def test_the_room_imports_neither_package_nor_torch() -> None:
    code = "import sys, vclr.interop, vclr.interop.convert_config as _; print({'torch', 'detectron2'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vclr.interop.data_sets.need", lambda name: None)
    with pytest.raises(UsageError, match="neither a file nor a data set; nearest: openworld_voc"):
        register("openworld_voc_classes_train2018")
    with pytest.raises(UsageError, match="part '': must be train or test"):
        register(load_config(None))
