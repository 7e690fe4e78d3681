"""`vclr export` from end to end: the file does what the detector does, says so, and runs without vclr."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import vclr
from tests.models.test_detector import demo_config, shake
from vclr.catalog.exports import BESIDE, EXPORT_OUTPUTS, INSIDE, MAX_OPSET, OPSET
from vclr.cli import app
from vclr.config import dump_config
from vclr.errors import UsageError, UserError
from vclr.evaluation.inference import predict
from vclr.export.about import About
from vclr.export.exported import Exported, open_exported
from vclr.export.graph import build_graph
from vclr.export.onnx_file import list_operations
from vclr.export.parity import compare_batch, match_detections
from vclr.export.write import ExportRequest, write_export
from vclr.files import read_json
from vclr.generate.pack import pack_folder
from vclr.generate.toy import render_scene
from vclr.models.build import build_model
from vclr.models.ready import open_detector
from vclr.pictures import write_png
from vclr.structures import Predictions

ROOT = Path(__file__).parents[2]
SMALLEST = ("model.transformer.encoder.num_layers=1", "model.transformer.decoder.num_layers=1")
SMALLEST += ("model.transformer.num_feature_levels=2", "dataloader.test.mapper.short_edge_length=96")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint with shaken weights, and its configuration."""
    folder = tmp_path_factory.mktemp("export")
    config = demo_config(*SMALLEST)
    torch.save({"model": shake(build_model(config)).state_dict()}, folder / "weights.pt")
    (folder / "config.yaml").write_text(dump_config(config))
    return folder / "weights.pt", folder / "config.yaml"


def photo() -> np.ndarray:
    return render_scene(3, 1, "val", 128).natural[:100]


def assert_does_what_the_detector_does(saved: tuple[Path, Path], exported: Exported) -> None:
    """On a photo that the check did not see, through resizing and painting."""
    detector, _ = open_detector(saved[0], "cpu", saved[1])
    found = exported.predict(photo())
    expected = predict(detector, photo(), exported.about.short_edge, exported.about.max_size)
    unmatched, lowest = match_detections(expected, found, (100, 128))
    assert len(expected) and unmatched == 0 and lowest >= 0.999


@pytest.mark.slow
def test_a_program_of_torch_does_what_the_detector_does(saved: tuple[Path, Path], tmp_path: Path):
    request = ExportRequest("torch", BESIDE, size=(64, 96), batch=1)
    output = tmp_path / "new" / "small.pt2"  # the folder is made
    about = write_export(saved[0], output, request, device="cpu", config_file=saved[1])
    assert about.parity["holds"]
    exported = open_exported(output)
    assert exported.about == about == About.from_json(read_json(tmp_path / "new" / "small.pt2.json"))
    assert sorted(path.name for path in output.parent.iterdir()) == ["small.pt2", "small.pt2.json"]
    # Nothing of this machine is in the file.
    assert str(ROOT).encode() not in output.read_bytes()

    # The check sees a detector that differs a little.
    detector, _ = open_detector(saved[0], "cpu", saved[1])
    pixels = photo()[None, :64, :96].transpose(0, 3, 1, 2)
    assert compare_batch(detector, exported, pixels).holds
    with torch.no_grad():
        detector.mask_embed[0].layers[0].weight *= 1.01
    assert not compare_batch(detector, exported, pixels).holds


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_onnx_file_of_any_size_does_what_the_detector_does(
    saved: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "mine.onnx"
    about = write_export(saved[0], output, ExportRequest("onnx", INSIDE), config_file=saved[1])
    batches = about.parity["batches"]
    assert about.parity["holds"]
    assert {batch["batch"] for batch in batches} == {1, 2}
    assert len({tuple(batch["size"]) for batch in batches}) == 3
    assert max(max(batch["errors"].values()) for batch in batches) <= 1e-4
    operations = list_operations(output)
    assert "Loop" in operations and "Gather" in operations and "GridSample" not in operations
    assert str(ROOT).encode() not in output.read_bytes()
    exported = open_exported(output, num_threads=1)
    assert exported.about == about
    assert_does_what_the_detector_does(saved, exported)

    # The lines of the documentation, which need onnxruntime alone, find what vclr.predict finds.
    detector, _ = open_detector(saved[0], "cpu", saved[1])
    monkeypatch.chdir(tmp_path)
    for height, width in [(100, 128), (150, 96), (64, 99)]:  # 64x99 is resized to 96x148.5, which is rounded up
        photos = {f"{number}.png": render_scene(3, number, "val", 160).natural[:height, :width] for number in range(2)}
        for name, one in photos.items():
            lying = Image.Exif()
            lying[0x0112] = 6
            Image.fromarray(np.rot90(one)).save(name, exif=lying)
        for names in (["0.png"], ["0.png", "1.png"]):
            lines = documented_lines(0).replace('["photo.jpg"]', repr(names)).replace("> 0.3", "> 0.0")
            variables: dict[str, Any] = {}
            exec(compile(lines, "export.md", "exec"), variables)
            for name, (scores, boxes, masks) in zip(names, variables["found"], strict=True):
                expected = vclr.predict(detector, photos[name], about.short_edge, about.max_size)
                assert_same_detections(expected, Predictions(boxes, scores, np.stack(masks)))


def documented_lines(block: int) -> str:
    """Return a block of Python of docs/export.md."""
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    lines = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[block]
    assert "import vclr" not in lines and "from vclr" not in lines
    return str(lines)


def assert_same_detections(expected: Predictions, found: Predictions) -> None:
    """Demand the same set of detections, with boxes and scores up to 1e-4 and masks up to an IoU of 0.999."""
    size = expected.masks.shape[1:]
    unmatched, lowest = match_detections(expected, found, (size[0], size[1]))
    assert len(expected) == len(found) > 0 and unmatched == 0 and lowest >= 0.999
    nearest = np.abs(expected.boxes[:, None] - found.boxes[None]).max(-1).argmin(1)
    assert sorted(nearest) == [*range(len(found))]
    np.testing.assert_allclose(found.boxes[nearest], expected.boxes, atol=1e-4 * max(size))
    np.testing.assert_allclose(found.scores[nearest], expected.scores, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_program_of_torch_of_any_size_does_what_the_detector_does(
    saved: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "mine.pt2"
    about = write_export(saved[0], output, ExportRequest("torch", INSIDE), device="cpu", config_file=saved[1])
    assert about.parity["holds"]

    # The lines of the documentation, which need torch alone, return what the graph does before it is captured.
    monkeypatch.chdir(tmp_path)
    pixels = photo().transpose(2, 0, 1)[None]
    variables: dict[str, Any] = {"images": pixels.copy(), "json": json}
    exec(compile(documented_lines(1), "export.md", "exec"), variables)
    assert About.from_json(variables["about"]) == about
    detector, _ = open_detector(saved[0], "cpu", saved[1])
    with torch.no_grad():
        expected = build_graph(detector, INSIDE)(torch.from_numpy(variables["images"]))
    for name, output in zip(EXPORT_OUTPUTS[INSIDE], expected, strict=True):
        torch.testing.assert_close(variables[name], output, rtol=1e-4, atol=1e-4 * float(output.float().abs().max()))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_int8_is_measured(world: Path, saved: tuple[Path, Path], tmp_path: Path):
    toy = world / "raw" / "toy"
    arguments = ["export", "--checkpoint", str(saved[0]), "-c", str(saved[1]), "--size", "64x64", "--int8"]
    shutil.copytree(toy / "images", tmp_path / "photos")
    pack_folder(tmp_path / "photos", remove=True, quiet=True)
    arguments += ["--annotations", str(toy / "annotations_val.json"), "--images", str(tmp_path / "photos.zip")]
    done = CliRunner().invoke(app, [*arguments, "--max-loss", "100", "--output", str(tmp_path / "int8.onnx")])
    assert done.exception is None, done.output
    about = open_exported(tmp_path / "int8.onnx").about
    assert about.int8["layers"] > 10 and about.int8["bytes"][1] < about.int8["bytes"][0]
    assert set(about.int8["float32"]) == {"box_ar@100", "mask_ar@100"}
    assert {"QuantizeLinear", "DequantizeLinear"} <= set(list_operations(tmp_path / "int8.onnx"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "onyx"], "--format onyx: must be onnx or torch or aot"),
        (["--size", "big"], "--size big: must be HEIGHTxWIDTH"),
        (["--size", "8x640"], "each side must be from 32 to 4096 pixels"),
        (["--size", "5000x5000"], "each side must be from 32 to 4096 pixels"),
        (["--opset", "99"], f"--opset 99: must be from {OPSET} to {MAX_OPSET}"),
        (["--opset", "17"], f"--opset 17: must be from {OPSET} to {MAX_OPSET}"),
        (["--format", "torch", "--opset", "18"], "--opset: needs --format onnx"),
        (["--size", "64x64", "--dynamic"], "contradicts --dynamic"),
        (["--format", "torch", "--int8"], "--int8: needs --format onnx"),
        (["--int8"], "--int8: needs --annotations and --images"),
        (["--images", "."], "--images: needs --int8"),
        (["--max-loss", "1"], "--max-loss: needs --int8"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(arguments: list[str], message: str, tmp_path: Path):
    output = tmp_path / "out" / "one.onnx"
    done = CliRunner().invoke(app, ["export", "--checkpoint", "none.pt", "--output", str(output), *arguments])
    assert isinstance(done.exception, UserError) and done.exception.exit_code == 2
    assert message in str(done.exception)
    assert not output.exists()


def test_a_video_is_no_photo_to_check_with(saved: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(UsageError, match=r"clip\.mp4: is a video; name photos"):
        write_export(
            saved[0], tmp_path / "out.pt2", ExportRequest("torch"), [str(tmp_path / "clip.mp4")], config_file=saved[1]
        )


def test_a_check_that_does_not_fit_into_memory_is_refused_before_it(saved: tuple[Path, Path], tmp_path: Path):
    request = ExportRequest("torch", size=(1 << 20, 1 << 20), batch=64)
    with pytest.raises(UsageError, match=r"--batch: the masks of .* take .* GB in the check"):
        write_export(saved[0], tmp_path / "large.pt2", request, device="cpu", config_file=saved[1])
    assert not any(tmp_path.iterdir())


def test_a_folder_as_output_is_refused_with_an_example(tmp_path: Path):
    for format_, suffix in (("onnx", ".onnx"), ("torch", ".pt2"), ("aot", ".pt2")):
        done = CliRunner().invoke(
            app, ["export", "--checkpoint", "none.pt", "--format", format_, "--output", str(tmp_path)]
        )
        assert str(tmp_path / f"NAME{suffix}") in str(done.exception)


@pytest.mark.parametrize("ending", [".json", ".failed"])
def test_a_file_of_somebody_else_beside_the_output_is_not_replaced(ending: str, tmp_path: Path):
    beside = tmp_path / f"one.onnx{ending}"
    beside.write_text("notes")
    done = CliRunner().invoke(app, ["export", "--checkpoint", "none.pt", "--output", str(tmp_path / "one.onnx")])
    assert isinstance(done.exception, UsageError) and f"{beside}: exists" in str(done.exception)
    assert beside.read_text() == "notes"


def test_another_checkpoint_is_not_replaced(saved: tuple[Path, Path], tmp_path: Path):
    other = tmp_path / "other.pt"
    other.write_bytes(saved[0].read_bytes())
    with pytest.raises(UsageError, match="choose another name"):
        write_export(saved[0], other, ExportRequest("torch"), device="cpu", config_file=saved[1])
    assert other.read_bytes() == saved[0].read_bytes()


def test_what_is_no_export_is_said_in_a_line(tmp_path: Path, saved: tuple[Path, Path]):
    with pytest.raises(UserError, match="no such file"):
        open_exported(tmp_path / "none.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"\x08\x01 nothing of the kind")
    write_png(tmp_path / "photo.png", photo())
    for name in ("damaged.onnx", "photo.png"):
        with pytest.raises(UserError, match="ONNX"):
            open_exported(tmp_path / name)
    with pytest.raises(UserError, match="not written by `vclr export`"):
        open_exported(saved[0])
