"""Weights: what fits is loaded, what does not is named, what is no checkpoint is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vclr.config import load_config
from vclr.errors import UserError
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.weights import config_of, count_queries, load_weights, read_weights

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


def build(*overrides: str) -> Detector:
    return build_model(load_config(DEMO, overrides))


@pytest.fixture(scope="module")
def trained() -> Detector:
    return build("train.seed=1")


def test_a_state_dict_is_loaded_whole(trained: Detector):
    model = build()
    report = load_weights(model, trained.state_dict())
    assert set(report.loaded) == set(trained.state_dict())
    assert not report.missing
    assert not report.unexpected
    assert not report.changed_shape
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("use_teacher", [False, True])
def test_a_checkpoint_has_a_student_and_a_teacher(tmp_path: Path, trained: Detector, use_teacher: bool):
    student, teacher = trained.state_dict(), build("train.seed=2").state_dict()
    torch.save({"model": student, "teacher": teacher, "iteration": 3}, tmp_path / "last.pt")
    model = build()
    load_weights(model, tmp_path / "last.pt", use_teacher)
    expected = teacher if use_teacher else student
    assert torch.equal(model.query_content.weight, expected["query_content.weight"])


def test_no_teacher_is_one_line(trained: Detector):
    with pytest.raises(UserError, match="holds no teacher"):
        load_weights(build(), {"model": trained.state_dict(), "teacher": None}, use_teacher=True)


def test_what_does_not_fit_is_named(trained: Detector):
    given = dict(trained.state_dict())
    del given["encoder.level_embeds"]
    given["novel.weight"] = torch.zeros(3)
    given["decoder.norm.weight"] = torch.zeros(5)
    model = build()
    before = model.decoder.norm.weight.clone()
    report = load_weights(model, given)
    assert report.missing == ["encoder.level_embeds"]
    assert report.unexpected == ["novel.weight"]
    assert report.changed_shape == {"decoder.norm.weight": ((5,), (64,))}
    assert not report.is_complete
    assert torch.equal(model.decoder.norm.weight, before)
    for name in ("encoder.level_embeds", "novel.weight", "decoder.norm.weight is (5,), not (64,)"):
        assert name in str(report)
    with pytest.raises(UserError, match="does not fit the model"):
        load_weights(model, given, strict=True)


def test_another_number_of_queries_says_what_to_set(trained: Detector):
    model = build("model.num_queries=7")
    before = model.decoder.norm.weight.clone()
    with pytest.raises(UserError, match=r"holds 60 queries, the model has 7; set model\.num_queries=60"):
        load_weights(model, trained.state_dict())
    assert torch.equal(model.decoder.norm.weight, before), "an error leaves the model as it was"


@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod.", "_orig_mod."])
def test_prefixes_of_wrapped_models_do_not_matter(trained: Detector, prefix: str):
    model = build()
    report = load_weights(model, {"model": {prefix + key: value for key, value in trained.state_dict().items()}})
    assert report.is_complete
    assert not report.unexpected


@pytest.mark.parametrize("content", [{"a": torch.zeros(1)}, {}, {"model": {}}], ids=str)
def test_nothing_that_fits_is_one_line(content: dict):
    with pytest.raises(UserError, match="nothing in it fits"):
        load_weights(build(), content)


class Payload:
    """Something that only unpickling with code would restore."""


@pytest.mark.parametrize("kind", ["absent", "text", "cut", "code", "list"])
def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, kind: str):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(1000)}, path)
    if kind == "absent":
        path.unlink()
    elif kind == "text":
        path.write_text("weights")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "code":
        torch.save({"a": Payload()}, path)
    else:
        torch.save([1, 2], path)
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_tensors_are_one_line_with_the_file(tmp_path: Path):
    path = tmp_path / "weights.pt"
    torch.save({"model": {"a": 1}}, path)
    for read in (count_queries, config_of):
        with pytest.raises(UserError, match=f"^{path}: its weights are not a dictionary of tensors: 'a' is a int$"):
            read(read_weights(path), str(path))
