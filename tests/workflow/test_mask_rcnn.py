"""Mask R-CNN of detectron2 in the workflow: planned from the downloads, refused where it is missing, and run."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec

import pytest
import yaml

from tests.interop.fixtures import need_detectron2
from tests.shared import PHOTOS
from tests.tiny_mask_rcnn import TINY_MASK_RCNN, tiny_environment
from vclr.files import read_json

NAME = "mask_rcnn_voc_to_nonvoc"
ALL = ("all", "--config", f"experiments=[{NAME}]", "compare=[]", "untrained=[]")
ITERATIONS = 20

# The experiment on 100 photos, with views of theirs.
TWIN = """
base: mask_rcnn_voc_to_nonvoc.yaml
data:
  train:
    annotations: ${data.root}/splits/photos_train_voc.json
    images: ${data.root}/raw/photos/images
    views: {edge: '${data.root}/views/photos/edge'}
  test:
    annotations: ${data.root}/raw/photos/annotations_val.json
    images: ${data.root}/raw/photos/images
views: {weights: {natural: 1.0, edge: 1.0}}
evaluation:
  protocol: novel
  groups: {known: voc, novel: nonvoc}
"""


@pytest.mark.skipif(find_spec("detectron2") is not None, reason="needs a Python without detectron2")
def test_a_missing_package_is_said_before_anything_is_downloaded(checkout):
    output = checkout.run("snakemake", *ALL, "--cores", "1", check=False)
    lines = [line for line in output.splitlines() if "detectron2" in line]
    assert lines and "needs detectron2, which is not installed: pip install" in lines[0]
    assert "Traceback" not in output and not (checkout.folder / "data").exists()


def test_the_plan_begins_with_the_downloads(checkout, monkeypatch, tmp_path):
    zoo = tmp_path / "detectron2" / "model_zoo" / "configs" / "COCO-InstanceSegmentation"
    zoo.mkdir(parents=True)
    (tmp_path / "detectron2" / "__init__.py").write_text("raise RuntimeError('a plan imports no detectron2')\n")
    (zoo / "mask_rcnn_R_50_FPN_1x.yaml").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(tmp_path)]))
    plan = checkout.plan(*ALL)
    assert plan["train"] == plan["evaluate"] == plan["report"] == 1
    assert "views" not in plan and "proposals" not in plan  # photos alone, known classes alone
    assert plan["published_split"] == 2 and any(name.startswith("fetch") for name in plan)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")
def test_photos_through_the_workflow(checkout, monkeypatch):
    need_detectron2()
    for name, value in tiny_environment().items():
        monkeypatch.setenv(name, value)
    raw = checkout.folder / "data" / "raw" / "photos"
    raw.mkdir(parents=True)
    (raw / "images").symlink_to(PHOTOS / "images")
    for part, count in (("train", 10), ("val", 6)):
        content = read_json(PHOTOS / f"annotations_{part}.json")
        content["images"] = content["images"][:count]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
        (raw / f"annotations_{part}.json").write_text(json.dumps(content))
    checkout.write("configs/experiment/mask_rcnn_photos.yaml", TWIN)
    short = [*TINY_MASK_RCNN, f"train.max_iter={ITERATIONS}", "train.log_period=5"]
    settings = yaml.safe_dump({"overrides": short, "experiments": ["mask_rcnn_photos"], "compare": [], "untrained": []})
    checkout.write("short.yaml", settings)
    workflow = ("snakemake", "all", "--cores", "1", "--configfile", "short.yaml")
    checkout.run(*workflow)

    run = checkout.folder / "runs/mask_rcnn_photos/seed0"
    assert (run / "DONE").read_text().strip() == str(ITERATIONS)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["iteration"] for record in records] == [5, 10, 15, 20]
    assert all(record["loss_mask"] > 0 for record in records)
    metrics = read_json(checkout.folder / "results/mask_rcnn_photos/seed0/metrics.json")
    assert set(metrics["groups"]) == {"known", "novel"}
    assert metrics["groups"]["novel"]["mask_ar@100"] is not None
    assert metrics["provenance"]["checkpoint"]["iteration"] == ITERATIONS
    page = (checkout.folder / "results/all/report.html").read_text()
    assert "mask_rcnn_photos" in page and page.count("data:image/jpeg") > 2
    assert "Nothing to be done" in checkout.run(*workflow)
