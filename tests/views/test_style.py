"""The view `style`: the photo's geometry, a style that the seed and the photo's stem choose, and plain errors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vclr.errors import UsageError, UserError
from vclr.files import sha256
from vclr.pictures import write_png
from vclr.views.adain import adain, channel_statistics
from vclr.views.renderer import RenderOptions
from vclr.views.style_decoder import build_decoder
from vclr.views.style_model import open_renderer
from vclr.views.style_pictures import GENERATED
from vclr.views.textures import draw_texture
from vclr.views.vgg import build_encoder


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def render(options: RenderOptions, image: np.ndarray, stem: str = "a") -> np.ndarray:
    return open_renderer(options).render([image], [stem])[0].pixels


@pytest.fixture
def options(style_weights: Path) -> RenderOptions:
    return RenderOptions(weights=style_weights, max_size=64, device="cpu")


@pytest.fixture
def paintings(tmp_path: Path) -> Path:
    folder = tmp_path / "paintings"
    for number, name in enumerate(["monet/a.png", "monet/b.png", "klee.png"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(folder / name, draw_texture(np.random.default_rng(number))[: 40 + number, :50])
    return folder


@torch.inference_mode()
def test_the_view_is_the_decoded_features_with_the_statistics_of_the_style(style_weights: Path, tmp_path: Path) -> None:
    picture, image = draw_texture(np.random.default_rng(9))[:64, :56], photo(40, 48)
    write_png(tmp_path / "styles" / "only.png", picture)
    encoder, decoder = build_encoder(), build_decoder()
    encoder.load_state_dict(torch.load(style_weights / "vgg_normalised.pth"), strict=False)
    decoder.load_state_dict(torch.load(style_weights / "decoder.pth"))
    content, style = (
        encoder(torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None]) for pixels in (image, picture)
    )
    for alpha in (0.0, 0.4, 1.0):
        expected = decoder(adain(content, channel_statistics(style), alpha))[0].clamp(0, 1).permute(1, 2, 0).numpy()
        options = RenderOptions(weights=style_weights, styles=tmp_path / "styles", alpha=alpha, device="cpu")
        assert np.abs(render(options, image) - 255 * expected).max() <= 0.51


@pytest.mark.parametrize("size", [(20, 20), (1, 1), (3, 200), (33, 57), (64, 48), (70, 100)])
def test_a_view_has_the_size_of_its_photo(options: RenderOptions, size: tuple[int, int]) -> None:
    shown = render(options, photo(*size))
    assert shown.shape == (*size, 3)
    assert shown.dtype == np.uint8


@pytest.mark.parametrize("size", [(61, 83), (20, 20), (48, 17)])
def test_a_place_in_the_view_is_that_place_in_the_photo(
    style_weights: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    """With weights that pass colors on, a view at alpha 0 shows the brightest value of each cell of 8x8 pixels."""
    for name in ("vgg_normalised.pth", "decoder.pth"):
        weights = torch.load(style_weights / name)
        for key, value in weights.items():
            weights[key] = torch.zeros(value.shape)
            if key.endswith("weight"):
                weights[key][range(3), range(3), value.shape[2] // 2, value.shape[3] // 2] = 1
        torch.save(weights, tmp_path / name)
    image, (height, width) = photo(*size), size
    cells = np.pad(image, ((0, -height % 8), (0, -width % 8), (0, 0))).reshape(-(-height // 8), 8, -(-width // 8), 8, 3)
    expected = cells.max(axis=(1, 3)).repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    assert np.array_equal(render(RenderOptions(weights=tmp_path, alpha=0.0, device="cpu"), image), expected)


def test_a_style_depends_on_the_seed_and_the_stem_alone(options: RenderOptions) -> None:
    image = photo(32, 40)
    first = render(options, image)
    assert np.array_equal(render(options, image), first)
    for other in (render(replace(options, seed=1), image), render(options, image, "b")):
        assert np.abs(other.astype(int) - first).mean() > 3


def test_a_batch_gives_the_bytes_of_single_photos(options: RenderOptions) -> None:
    images, stems = [photo(32, 40, 0), photo(24, 24, 1), photo(32, 40, 2)], ["a", "b", "c"]
    renderer = open_renderer(options)
    together = renderer.render(images, stems)
    for image, stem, rendered in zip(images, stems, together, strict=True):
        assert np.array_equal(renderer.render([image], [stem])[0].pixels, rendered.pixels)


def test_half_precision_looks_the_same(options: RenderOptions) -> None:
    image = photo(32, 40)
    half = render(replace(options, dtype="bfloat16"), image).astype(int)
    assert np.abs(half - render(options, image)).mean() < 4


def test_the_facts_say_what_a_view_was_made_of(options: RenderOptions, paintings: Path, style_weights: Path) -> None:
    license_of = {"name": "Public domain", "commercial": True, "because": "the painters died long ago"}
    (paintings / "license.yaml").write_text("".join(f"{key}: {value}\n" for key, value in license_of.items()))
    renderer = open_renderer(replace(options, styles=paintings, alpha=0.5))
    facts = renderer.facts
    assert (facts["producer"], facts["alpha"], facts["max_size"]) == ("adain", 0.5, 64)
    assert facts["weights"]["decoder.pth"] == sha256(style_weights / "decoder.pth")
    assert facts["styles"]["pictures"] == 3
    assert facts["styles"]["license"] == license_of
    drawn = {rendered.facts["style"] for rendered in renderer.render([photo(20, 20)] * 12, list(map(str, range(12))))}
    assert drawn == {"monet/a.png", "monet/b.png", "klee.png"}
    assert open_renderer(options).render([photo(20, 20)], ["a"])[0].facts == {"style": GENERATED}
    (paintings / "manifest.json").write_text("{}")  # does not vouch for the pictures
    assert open_renderer(replace(options, styles=paintings)).facts["styles"] == facts["styles"]
    write_png(paintings / "klee.png", draw_texture(np.random.default_rng(8)))
    assert open_renderer(replace(options, styles=paintings)).facts["styles"]["sha256"] != facts["styles"]["sha256"]


def test_misuse_is_one_line(options: RenderOptions, style_weights: Path, paintings: Path, tmp_path: Path) -> None:
    cut, other = tmp_path / "cut", tmp_path / "other"
    shutil.copytree(style_weights, cut)
    (cut / "vgg_normalised.pth").write_bytes((style_weights / "vgg_normalised.pth").read_bytes()[:90_000])
    shutil.copytree(style_weights, other)
    shutil.copy(style_weights / "vgg_normalised.pth", other / "decoder.pth")
    legacy = tmp_path / "legacy"
    shutil.copytree(style_weights, legacy)
    (legacy / "decoder.pth").write_bytes((style_weights / "decoder.pth").read_bytes()[:90_000])
    infinite = tmp_path / "infinite"
    shutil.copytree(style_weights, infinite)
    weights = torch.load(style_weights / "decoder.pth")
    torch.save(weights | {"5.bias": torch.full((256,), float("nan"))}, infinite / "decoder.pth")
    (tmp_path / "empty").mkdir()
    for change, error, message in [
        (
            {"weights": None},
            UsageError,
            r"needs --weights FOLDER, with vgg_normalised\.pth and decoder\.pth; `vclr fetch",
        ),
        ({"weights": style_weights / "decoder.pth"}, UsageError, "is a file; name the folder"),
        ({"weights": tmp_path / "empty"}, UserError, r"vgg_normalised\.pth: no such file.*vclr fetch weights/adain"),
        ({"weights": cut}, UserError, r"vgg_normalised\.pth: is damaged"),
        ({"weights": legacy}, UserError, r"decoder\.pth: is not a checkpoint"),
        (
            {"weights": other},
            UserError,
            r"decoder\.pth: does not hold the decoder of AdaIN: it has no weight 1\.weight",
        ),
        ({"weights": infinite}, UserError, r"decoder\.pth: 5\.bias holds numbers that are not finite"),
        ({"styles": tmp_path / "paintigs"}, UserError, "paintigs: no such folder; nearest: .*paintings"),
        ({"styles": tmp_path / "empty"}, UserError, "empty: contains no pictures"),
        ({"alpha": 1.5}, UsageError, "--alpha 1.5: must be from 0, the photo, to 1, the style"),
        ({"revision": "main"}, UsageError, "--revision: view style does not use it; leave it out"),
        ({"batch_size": 4}, UsageError, "--batch-size: view style renders one photo at a time"),
        ({"model": "zoedepth"}, UsageError, "--model zoedepth: the view style is made by adain"),
        ({"dtype": "bfloat"}, UsageError, "--dtype bfloat: must be one of auto, float32"),
    ]:
        with pytest.raises(error, match=message) as raised:
            open_renderer(replace(options, **change))
        assert "\n" not in str(raised.value)
    (paintings / "klee.png").write_bytes(b"no picture")
    renderer = open_renderer(replace(options, styles=paintings))
    with pytest.raises(UserError, match=r"klee\.png: is not an image"):
        renderer.render([photo(20, 20)] * 20, list(map(str, range(20))))
    (paintings / "license.yaml").write_text("{name: CC0, because: they say so}")
    with pytest.raises(UserError, match=r"license\.yaml: has no `commercial` that is yes or no"):
        open_renderer(replace(options, styles=paintings))
    (paintings / "license.yaml").write_text("[")
    with pytest.raises(UserError, match=r"license\.yaml: not valid YAML"):
        open_renderer(replace(options, styles=paintings))
