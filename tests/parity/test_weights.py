"""The reference's checkpoints: every tensor finds its place, and nothing is lost on the way there and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from tests.parity.golden import filled_detector, load_json, parity_config, reference_state
from vclr.engine import convert
from vclr.engine.state import TrainState
from vclr.errors import UserError
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.reference import UNUSED, initial_unused, to_reference, unused_weights, with_aliases
from vclr.models.weights import load_weights, read_weights

ALIASES = ("class_embed.", "bbox_embed.", "mask_embed.")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return filled_detector()


def ema_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(ALIASES)}


def test_names_shapes_and_order_are_the_references(detector: Detector):
    golden = load_json("state_dict_keys.json")
    state = to_reference(detector, initial_unused(detector.config, 0))
    assert list(state) == golden["ema_state"]
    shapes = {key: list(value.shape) for key, value in with_aliases(state).items()}
    assert shapes == golden["keys"] | {"transformer.tgt_embed.weight": [300, 256]}
    assert len(shapes) == 771
    for alias, key in golden["aliases"].items():
        assert with_aliases(state)[alias] is state[key]


def test_optimizer_numbers_the_parameters_as_the_reference():
    state = TrainState(parity_config(), torch.device("cpu"))
    groups = load_json("i_schedule_optim.json")["param_groups"]
    assert list(convert._reference_groups(state).values()) == [group["names"] for group in groups]
    assert list(convert._reference_groups(state)) == [(group["lr"], group["weight_decay"]) for group in groups]


def test_round_trip_is_bit_identical(detector: Detector):
    given = reference_state()
    back = with_aliases(to_reference(detector, unused_weights(given, detector)))
    assert back.keys() == given.keys()
    assert all(torch.equal(back[key], given[key]) for key in given)
    assert len(ema_state(given)) == 673


def test_what_only_the_reference_has_is_ignored_with_its_reason():
    report = load_weights(build_model(parity_config()), reference_state())
    assert report.layout == "reference"
    assert set(report.ignored) == set(load_json("state_dict_keys.json")["zero_gradient"])
    assert set(report.ignored.values()) == set(UNUSED.values())
    assert not report.missing
    assert not report.unexpected
    assert "label_enc.weight: embeds the labels of denoising queries" in str(report)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("use_teacher", [False, True])
def test_plain_and_averaged_weights_with_or_without_prefix(prefix: str, use_teacher: bool):
    plain, averaged = reference_state(is_small=True), ema_state(reference_state(is_small=True, salt="ema/"))
    content = {
        "model": {prefix + key: value for key, value in plain.items()},
        "ema_state": {prefix + key: value for key, value in averaged.items()},
        "iteration": 4999,
    }
    model = build_model(parity_config(is_small=True))
    assert load_weights(model, content, use_teacher=use_teacher).is_complete
    expected = averaged if use_teacher else plain
    assert torch.equal(model.query_content.weight, expected["transformer.tgt_embed.weight"])
    assert torch.equal(
        model.mask_embed[1].layers[0].weight, expected["transformer.decoder.mask_embed.1.layers.0.weight"]
    )


@pytest.mark.parametrize("names", ["under the decoder", "at the top", "both"])
def test_heads_are_found_under_either_name(names: str):
    given = reference_state(is_small=True)
    if names == "under the decoder":
        given = ema_state(given)
    elif names == "at the top":
        heads = tuple(f"transformer.decoder.{head}" for head in ALIASES)
        given = {key: value for key, value in given.items() if not key.startswith(heads)}
    model = build_model(parity_config(is_small=True))
    assert load_weights(model, given).is_complete
    assert torch.equal(model.class_embed[0].weight, reference_state(is_small=True)["class_embed.0.weight"])


def test_names_of_one_head_that_disagree_are_an_error():
    given = reference_state(is_small=True) | {"class_embed.1.bias": torch.tensor([5.0])}
    with pytest.raises(
        UserError, match=r"class_embed\.1\.bias: differs from transformer\.decoder\.class_embed\.1\.bias"
    ):
        load_weights(build_model(parity_config(is_small=True)), given)


def test_another_number_of_queries_says_what_to_set():
    with pytest.raises(UserError, match=r"holds 300 queries, the model has 900; set model\.num_queries=300"):
        load_weights(build_model(parity_config(True, "model.num_queries=900")), reference_state(is_small=True))


def test_lists_that_omegaconf_left_in_old_checkpoints_are_read(tmp_path: Path):
    betas = OmegaConf.create([0.9, 0.999])
    torch.save({"model": {"a": torch.zeros(1)}, "trainer": {"param_groups": [{"betas": betas}]}}, tmp_path / "old.pth")
    assert list(read_weights(tmp_path / "old.pth")["trainer"]["param_groups"][0]["betas"]) == [0.9, 0.999]


def test_initial_weights_of_what_only_the_reference_has():
    unused = initial_unused(parity_config().model, seed=0)
    golden = load_json("state_dict_keys.json")
    assert {key: list(value.shape) for key, value in unused.items()} == {
        key: shape for key, shape in golden["keys"].items() if key.startswith(tuple(UNUSED))
    }
    assert unused["label_enc.weight"].std() == pytest.approx(1, abs=0.2)
    first = unused["ROI_embed.0.0.layers.0.weight"]
    assert first.abs().max() == pytest.approx(1 / 16, rel=0.01), "a linear layer's own initialization"
    assert torch.equal(first, unused["ROI_embed.6.0.layers.0.weight"])
