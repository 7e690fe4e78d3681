"""Models of detectron2 behind our inference: their own predictor finds the same, and what does not fit is one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.interop.fixtures import need_detectron2
from tests.tiny_mask_rcnn import CHANGES, tiny_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = """
import json, pickle, sys
from dataclasses import replace
from pathlib import Path

import numpy as np, torch
from detectron2 import model_zoo
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model

from vclr.config import load_config
from vclr.errors import UserError
from vclr.evaluation.inference import predict, predict_samples
from vclr.models.build import build_model as build_own
from vclr.models.ready import fill_detector, open_detector
from vclr.models.weights import config_of, read_weights
from vclr.structures import MaskForm

torch.set_num_threads(1)
folder, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
NAME = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x"
cfg = model_zoo.get_config(f"{NAME}.yaml")
cfg.merge_from_list([word for pair in changes.items() for word in pair])
cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, "INPUT.MIN_SIZE_TEST", 96])
cfg.merge_from_list(["MODEL.ROI_HEADS.NUM_CLASSES", 3])
torch.manual_seed(0)
network = build_model(cfg)
torch.save({"model": network.state_dict()}, folder / "model_final.pth")
arrays = {key: value.numpy() for key, value in network.state_dict().items()}
(folder / "model_final.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "someone"}, protocol=2))
(folder / "theirs.yaml").write_text(cfg.dump())
cfg.MODEL.WEIGHTS = str(folder / "model_final.pth")

image = np.random.default_rng(0).integers(0, 255, (120, 180, 3), np.uint8)
theirs = DefaultPredictor(cfg)(image[:, :, ::-1])["instances"]  # takes BGR
said = {}
for file in ("model_final.pth", "model_final.pkl"):
    model, config = open_detector(folder / file, "cpu", folder / "theirs.yaml")
    mapper = config.dataloader.test.mapper
    assert (mapper.short_edge_length, mapper.max_size) == (96, 1333)
    found = predict(model, image, mapper.short_edge_length, mapper.max_size)
    places = {tuple(np.round(box, 2)): place for place, box in enumerate(theirs.pred_boxes.tensor.numpy())}
    matched = [places[tuple(np.round(box, 2))] for box in found.boxes]  # a subset: classes are suppressed together
    assert len(found) >= 5 and len(set(matched)) == len(matched)
    assert np.abs(theirs.scores.numpy()[matched] - found.scores).max() < 1e-6
    assert (theirs.pred_masks.numpy()[matched] == found.masks).all() and found.masks.any()
    assert (np.diff(found.scores) <= 0).all()

# Of one class, nothing is left out: detectron2 suppresses at a lower IoU than vclr.
one = replace(config, detectron2=replace(config.detectron2, settings={"MODEL": {"ROI_HEADS": {"NUM_CLASSES": 1}}}))
single = fill_detector(one, None, "", torch.device("cpu"))
blue_first = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1)
expected = single.network([{"image": blue_first, "height": 120, "width": 180}])
found = predict(single, image, None)
assert np.abs(expected[0]["instances"].pred_boxes.tensor.detach().numpy() - found.boxes).max() < 1e-4
assert (expected[0]["instances"].pred_masks.numpy() == found.masks).all()

# Mirror images are mirrored back.
flipped = torch.from_numpy(image).permute(2, 0, 1)[None].flip(-1)
outputs = single(flipped, [(120, 180)])
there = outputs.search([(120, 180)], 300, 0.7, MaskForm.PAINTED)[0]
back = replace(outputs, is_mirrored=True).search([(120, 180)], 300, 0.7, MaskForm.PAINTED)[0]
assert (back.masks == there.masks[..., ::-1]).all()
assert np.allclose(back.boxes[:, [2, 0]], 180 - there.boxes[:, [0, 2]], atol=1e-4)
assert not single.network.training and len(outputs.search([(120, 180)], 3, 0.7, MaskForm.NONE)[0]) <= 3

assert len(predict(single, image, None, flip=True)) >= len(found)

# A LazyConfig, which is a program.
(folder / "theirs.py").write_text(f'''
from detectron2 import model_zoo
content = model_zoo.get_config("{NAME}.py")
model, dataloader = content.model, content.dataloader
model.proposal_generator.post_nms_topk = (5, 5)
model.roi_heads.box_predictor.test_score_thresh = 0.0
dataloader.test.mapper.augmentations[0].short_edge_length = 64
''')
settings = ["detectron2.settings.model.roi_heads.num_classes=2"]
lazy = load_config(None, [f"detectron2.config={folder / 'theirs.py'}", *settings])
model = fill_detector(lazy, None, "", torch.device("cpu"))
assert model.is_bgr and model.network.roi_heads.num_classes == 2
assert predict(model, image[:64, :64], None).masks.shape[1:] == (64, 64)
torch.save({"model": model.network.state_dict()}, folder / "lazy.pth")
config = config_of(read_weights(folder / "lazy.pth"), "", folder / "theirs.py")
assert config.dataloader.test.mapper.short_edge_length == 64

# One line says what does not fit, and nothing of a file is executed.
torch.save({"model": build_own(load_config("configs/small_detector.yaml")).state_dict()}, folder / "own.pth")
(folder / "bad.yaml").write_text("MODEL:\\n  NO_SUCH_KEY: 1\\n")
(folder / "unsafe.yaml").write_text(f"MODEL:\\n  WEIGHTS: !!python/object/apply:os.mkdir [{folder / 'made'}]\\n")
(folder / "needs.py").write_text("import no_such_package\\n")
(folder / "empty.py").write_text("optimizer = 1\\n")
for weights, config_file in [
    ("own.pth", "theirs.yaml"),
    *(("model_final.pth", name) for name in ("bad.yaml", "unsafe.yaml", "needs.py", "empty.py")),
]:
    try:
        open_detector(folder / weights, "cpu", folder / config_file)
    except UserError as error:
        said[f"{weights} {config_file}"] = str(error)
for override in ("NO_SUCH=1", "MODEL.RPN.BATCH_SIZE=1", "SOLVER.BASE_LR=fast", "MODEL.RPN.NMS_THRESH=1"):
    changed = load_config(None, [f"detectron2.config={folder / 'theirs.yaml'}", f"detectron2.settings.{override}"])
    try:
        said[override] = str(fill_detector(changed, None, "", torch.device("cpu")).content.MODEL.RPN.NMS_THRESH)
    except UserError as error:
        said[override] = str(error)
assert not (folder / "made").exists()
print(json.dumps(said))
"""


def test_models_of_detectron2_find_what_their_own_predictor_finds(tmp_path):
    need_detectron2()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), json.dumps(CHANGES)]
    ended = subprocess.run(command, env=tiny_environment(), capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr[-4000:]
    said = json.loads(ended.stdout.splitlines()[-1])
    assert "does not fit the model of detectron2.config=" in said["own.pth theirs.yaml"]
    assert "bad.yaml: is not a configuration of detectron2" in said["model_final.pth bad.yaml"]
    assert "unsafe.yaml: is not a configuration of detectron2" in said["model_final.pth unsafe.yaml"]
    assert (
        "needs.py: needs a package that is missing: No module named 'no_such_package'"
        in said["model_final.pth needs.py"]
    )
    assert "empty.py: has no `model`" in said["model_final.pth empty.py"]
    assert "detectron2.settings.NO_SUCH: is not a key of detectron2's configuration" in said["NO_SUCH=1"]
    assert "nearest: MODEL.RPN.BATCH_SIZE_PER_IMAGE" in said["MODEL.RPN.BATCH_SIZE=1"]
    assert "detectron2.settings.SOLVER.BASE_LR=fast" in said["SOLVER.BASE_LR=fast"]
    assert said["MODEL.RPN.NMS_THRESH=1"] == "1.0"  # a whole number where they have a fraction
    assert all("\n" not in line for line in said.values())
