"""The views `style` and learned `edge` as files: the command, shards, interruptions, photos of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vclr.cli import app, main
from vclr.errors import UsageError
from vclr.files import read_json
from vclr.pictures import ORIENTATION, read_image, write_png
from vclr.shards import Shard
from vclr.views import style_model
from vclr.views.renderer import RenderOptions
from vclr.views.textures import draw_texture
from vclr.views.write import join_views, write_views


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, size in enumerate([(24, 32, 3), (31, 20, 3), (16, 45, 3), (20, 20, 3)]):
        write_png(folder / f"photo{number}.png", np.random.default_rng(number).integers(0, 256, size, np.uint8))
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    Image.fromarray(draw_texture(np.random.default_rng(0))[:21, :33]).save(folder / "turned.jpg", exif=turned)
    return folder


def style_options(style_weights: Path, **changes: Any) -> RenderOptions:
    return RenderOptions(weights=style_weights, max_size=32, device="cpu", **changes)


@pytest.fixture(scope="module")
def whole(style_weights: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a rendering in one go."""
    folder = tmp_path_factory.mktemp("views") / "whole"
    write_views("style", images, folder, quiet=True, options=style_options(style_weights))
    return content(folder)


def run_views(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["vclr", "views", *map(str, arguments), "--quiet"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_writes_a_style_for_every_photo(
    style_weights: Path, images: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "paintings" / "a.png", draw_texture(np.random.default_rng(1)))
    arguments = ["--view", "style", "--images", images, "--weights", style_weights, "--max-size", 32]
    own = [*arguments, "--styles", tmp_path / "paintings", "--alpha", 0.7]
    for command, output in [(arguments, "again"), ([*arguments, "--seed", 1], "other"), (own, "own")]:
        run_views(monkeypatch, *command, "--output", tmp_path / output)
    assert content(tmp_path / "again") == whole
    for other in ("other", "own"):
        assert all(content(tmp_path / other)[name] != whole[name] for name in whole)
    for photo in images.iterdir():
        assert read_image(tmp_path / "again" / f"{photo.stem}.png").shape == read_image(photo).shape
    facts = read_json(tmp_path / "own" / "manifest.json")
    assert (facts["view"], facts["producer"], facts["alpha"], facts["num_files"]) == ("style", "adain", 0.7, 5)
    assert {entry["style"] for entry in facts["files"].values()} == {"a.png"}
    assert str(tmp_path) not in (tmp_path / "own" / "manifest.json").read_text()


def test_weights_make_the_edges_learned(
    hed_weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for weights, output in [((), "computed"), (("--weights", hed_weights), "learned")]:
        run_views(monkeypatch, "--view", "edge", "--images", images, *weights, "--output", tmp_path / output)
    learned, computed = (read_json(tmp_path / name / "manifest.json") for name in ("learned", "computed"))
    assert learned["producer"] == "hed"
    assert learned["weights"].keys() == {hed_weights.name}
    assert "producer" not in computed
    assert content(tmp_path / "learned")["photo0.png"] != content(tmp_path / "computed")["photo0.png"]
    for photo in images.iterdir():
        assert read_image(tmp_path / "learned" / f"{photo.stem}.png").shape == read_image(photo).shape


def test_shards_joined_are_the_bytes_of_one_rendering(
    style_weights: Path, images: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    count, options = 2, style_options(style_weights)
    parts = [tmp_path / f"part{number}" for number in range(1, count + 1)]
    for number, part in enumerate(parts, start=1):
        write_views("style", images, part, quiet=True, shard=Shard(number, count), options=options)
    join_views(parts, tmp_path / "joined")
    assert content(tmp_path / "joined") == whole


def test_an_interrupted_rendering_styles_no_photo_twice(
    style_weights: Path, images: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, styled = style_options(style_weights), []
    render = style_model.StyleRenderer.render

    def stop_at_the_fourth(self: Any, images: Any, stems: Any) -> Any:
        if len(styled) == 3:
            styled.append("interrupted")
            raise KeyboardInterrupt
        styled.extend(stems)
        return render(self, images, stems)

    monkeypatch.setattr(style_model.StyleRenderer, "render", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        write_views("style", images, tmp_path / "view", quiet=True, options=options)
    assert not (tmp_path / "view").exists()
    write_views("style", images, tmp_path / "view", quiet=True, options=options)
    assert sorted(styled) == sorted(["interrupted", *(path.stem for path in images.iterdir())])
    assert content(tmp_path / "view") == whole


def test_a_picture_that_is_none_fails_the_photos_that_it_styles(
    style_weights: Path, images: Path, tmp_path: Path
) -> None:
    for number in range(2):
        write_png(tmp_path / "paintings" / f"{number}.png", draw_texture(np.random.default_rng(number)))
    options = style_options(style_weights, styles=tmp_path / "paintings")
    good = read_json(write_views("style", images, tmp_path / "view", quiet=True, options=options))
    (tmp_path / "paintings" / "1.png").write_bytes(b"no picture")
    facts = read_json(write_views("style", images, tmp_path / "view", quiet=True, options=options))
    of_broken = {name for name, entry in good["files"].items() if entry["style"] == "1.png"}
    assert 0 < len(of_broken) < 5
    assert {f"{Path(photo).stem}.png" for photo in facts["failed"]} == of_broken
    assert all("1.png: is not an image" in says for says in facts["failed"].values())
    assert facts["files"].keys() == good["files"].keys() - of_broken


def test_what_would_be_ignored_is_refused(images: Path, tmp_path: Path) -> None:
    for options, message in [
        (RenderOptions(alpha=0.5), "--alpha: view palette does not use it"),
        (RenderOptions(max_size=100), "--max-size: view palette does not use it"),
        (RenderOptions(device="cuda"), "--device: view palette does not use it"),
        (RenderOptions(dtype="bfloat16"), "--dtype: view palette does not use it"),
        (RenderOptions(weights=tmp_path), "view palette: is computed without a model"),
    ]:
        with pytest.raises(UsageError, match=message):
            write_views("palette", images, tmp_path / "view", quiet=True, options=options)
    for option in (("--alpha", "0"), ("--device", "cpu"), ("--num-gpus", "2"), ("--layout", "reference")):
        with pytest.raises(UsageError, match=f"--join and {option[0]}: give one of them, not both"):
            app(["views", "--join", "a", "--output", f"{tmp_path}/view", *option], standalone_mode=False)
