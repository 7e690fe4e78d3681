"""The content of a vclr checkpoint, checked completely before any of it is used.

Its keys: `model`, `teacher` (None without one), `optimizer`, `scheduler`, `loader`, `rng`, `iteration`, `config`; and
`scaler`, `reference`, `journal`, which earlier versions did not write; and `detectron2` for a model of that package.
Weights extracted from a checkpoint may come with its `config` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vclr.config import Config, ModelConfig, config_from_text
from vclr.errors import UserError
from vclr.models.detector import Detector
from vclr.models.learning_rates import parameter_groups
from vclr.models.optimizer_state import FLOATS, check_moments, check_rates

POSITION = ("optimizer", "scheduler", "loader", "rng", "iteration")  # the position of a training, beside its weights
OWN = ("loader", "rng")  # keys that no other program writes
MARK = "detectron2"  # in a checkpoint of a model of detectron2: its configuration, as YAML
DENOISING = "; it belongs to denoising queries (model.dn_number and a weight above 0 of a loss *_dn)"
SCALER = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def is_checkpoint(content: Mapping[Any, Any]) -> bool:
    """Tell a vclr checkpoint, or part of one, from weights of other programs."""
    return "config" in content or any(key in content for key in OWN)


def check_form(content: Mapping[Any, Any], name: str, must_be_finite: bool = True) -> Config:
    """Check what can be checked without a model: the keys of a checkpoint, their types, and that they agree.

    Args:
        content: a checkpoint, according to `is_checkpoint`.
        name: the name of the file, for errors.
        must_be_finite: refuse weights and moments that are not finite.

    Returns:
        The configuration in the checkpoint.

    Raises:
        UserError: says in one line which part is wrong, and how.
    """
    if MARK in content:
        return _check_detectron2(content, name, must_be_finite)
    holds_position = any(key in content for key in POSITION)
    for key in ("config", "model", *(("teacher", *POSITION) if holds_position else ())):
        if key not in content:
            raise UserError(f"{name}: is not a complete checkpoint: it has no `{key}`")
    config = _read_config(content["config"], name)
    _check_weights(content["model"], f"{name}: model", must_be_finite)
    _check_sizes(config.model, content["model"], name)
    if content.get("teacher") is not None:
        _check_weights(content["teacher"], f"{name}: teacher", must_be_finite)
    if not holds_position:
        return config
    if config.train.model_ema.enabled is not (content["teacher"] is not None):
        raise UserError(f"{name}: teacher: is {'missing' if config.train.model_ema.enabled else 'not of its settings'}")
    iteration = content["iteration"]
    if type(iteration) is not int or iteration < 0:
        raise UserError(f"{name}: iteration: is {_say(iteration)}, not a number from 0")
    _check_entries(content["loader"], {"next_batch": iteration}, f"{name}: loader")
    _check_entries(content["rng"], {"seed": config.train.seed, "iteration": iteration}, f"{name}: rng")
    is_half = config.train.amp.enabled and config.train.amp.dtype == "float16"
    # In float16 the gradient scaler leaves out steps whose gradients overflow.
    check_moments(content["optimizer"], iteration, is_half, f"{name}: optimizer", must_be_finite)
    check_rates(content["optimizer"], content["scheduler"], config.optimizer, iteration, name)
    if "scaler" in content or is_half:
        _check_scaler(content.get("scaler"), is_half, f"{name}: scaler")
    if "reference" in content:
        _check_reference(content["reference"], f"{name}: reference", must_be_finite)
    if "journal" in content:
        _check_journal(content["journal"], iteration, f"{name}: journal")
    return config


def _check_detectron2(content: Mapping[Any, Any], name: str, must_be_finite: bool) -> Config:
    """Check a checkpoint of a model of detectron2, whose optimizer and sizes are not those of a detector."""
    for key in ("config", "model", *POSITION):
        if key not in content:
            raise UserError(f"{name}: is not a complete checkpoint: it has no `{key}`")
    config = _read_config(content["config"], name)
    if not isinstance(content[MARK], str) or not config.detectron2.config:
        raise UserError(f"{name}: {MARK}: is {_say(content[MARK])}, which does not fit its settings")
    _check_weights(content["model"], f"{name}: model", must_be_finite)
    iteration = content["iteration"]
    if type(iteration) is not int or iteration < 0:
        raise UserError(f"{name}: iteration: is {_say(iteration)}, not a number from 0")
    _check_entries(content["loader"], {"next_batch": iteration}, f"{name}: loader")
    _check_entries(content["rng"], {"seed": config.train.seed, "iteration": iteration}, f"{name}: rng")
    if "journal" in content:
        _check_journal(content["journal"], iteration, f"{name}: journal")
    return config


def check_fit(content: Mapping[str, Any], model: Detector, name: str) -> None:
    """Check that a checkpoint of the right form fits this model exactly: names, shapes and types of all tensors.

    Raises:
        UserError: says in one line what does not fit.
    """
    expected = model.state_dict()
    for part in ("model", "teacher"):
        if content.get(part) is None:
            continue
        given, where = content[part], f"{name}: {part}"
        for key in (*expected.keys(), *given.keys()):
            if key not in given or key not in expected:
                which = "is missing" if key in expected else "is not of its model"
                raise UserError(f"{where}: {key} {which}{DENOISING if key.startswith('label_embed.') else ''}")
        for key, tensor in expected.items():
            if given[key].shape != tensor.shape or given[key].dtype != tensor.dtype:
                raise UserError(f"{where}: {key} is {_describe(given[key])}, not {_describe(tensor)}")
    if "optimizer" in content:
        _check_optimizer_fits(content["optimizer"], model, _read_config(content["config"], name), f"{name}: optimizer")


def check_tensor(value: Any, where: str, must_be_finite: bool = True) -> None:
    """Check that something is a plain tensor of numbers in this process's memory.

    Raises:
        UserError: it is not one; says what it is instead.
    """
    if not isinstance(value, Tensor):
        raise UserError(f"{where} is {_say(value)}, not a tensor")
    is_plain = value.layout is torch.strided and not (value.is_quantized or value.is_complex() or value.is_nested)
    if not is_plain or value.device.type == "meta":
        raise UserError(f"{where} is not a tensor of plain numbers")
    if value.is_floating_point() and value.dtype not in FLOATS:
        kind = str(value.dtype).removeprefix("torch.")
        raise UserError(f"{where} holds numbers of {kind}, which are not read; save it as float32")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(f"{where} is a tensor of more numbers than it holds")
    if must_be_finite and value.is_floating_point() and not bool(value.isfinite().all()):
        raise UserError(f"{where} holds numbers that are not finite")


def _read_config(text: Any, name: str) -> Config:
    if not isinstance(text, str):
        raise UserError(f"{name}: config: is {_say(text)}, not text")
    try:
        return config_from_text(text, f"{name}: config")
    except UserError as error:  # also a UsageError: nobody gave these settings on a command line
        raise UserError(str(error)) from None


def _check_weights(state: Any, where: str, must_be_finite: bool) -> None:
    if not isinstance(state, Mapping) or not state:
        raise UserError(f"{where}: is {_say(state)}, not a dictionary of tensors")
    for key, value in state.items():
        if not isinstance(key, str):
            raise UserError(f"{where}: {_say(key)} is not the name of a tensor")
        check_tensor(value, f"{where}: {key}", must_be_finite)


def _check_sizes(config: ModelConfig, state: Mapping[str, Tensor], name: str) -> None:
    """Compare the sizes in the settings with those of the weights before a model is built from the settings."""
    encoder, decoder = config.transformer.encoder, config.transformer.decoder
    channels, levels = config.embed_dim, config.transformer.num_feature_levels
    sizes = {
        "query_content.weight": (config.num_queries, channels),
        f"neck.levels.{levels - 1}.0.weight": (channels,),
        "mask_branch.mapping.0.weight": (config.mask_hidden_dim,),
    }
    if config.backbone.name == "resnet":
        sizes["backbone.stem.conv.weight"] = (config.backbone.stem_out_channels,)
    for part, layers, attention in (("encoder", encoder, "attention"), ("decoder", decoder, "cross_attention")):
        last = f"{part}.layers.{layers.num_layers - 1}"
        sizes[f"{last}.feed_forward.expand.weight"] = (layers.feedforward_dim, channels)
        offsets = 2 * layers.num_heads * levels * layers.num_points
        sizes[f"{last}.{attention}.sampling_offsets.weight"] = (offsets, channels)
    for key, size in sizes.items():
        given = tuple(state[key].shape[: len(size)]) if key in state else "missing"
        if given != size:
            raise UserError(f"{name}: its settings do not fit its weights: {key} is {given}, not {size}")


def _check_entries(entries: Any, expected: dict[str, int], where: str) -> None:
    if not isinstance(entries, Mapping):
        raise UserError(f"{where}: is {_say(entries)}, not a dictionary")
    for key, value in expected.items():
        if key not in entries:
            raise UserError(f"{where}: has no `{key}`")
        if type(entries[key]) is not int or entries[key] != value:
            raise UserError(f"{where}: {key} is {_say(entries[key])}, the rest of the checkpoint says {value}")


def _check_scaler(scaler: Any, is_used: bool, where: str) -> None:
    if not isinstance(scaler, Mapping):
        raise UserError(f"{where}: is {_say(scaler)}, not a dictionary")
    if not is_used and scaler:
        raise UserError(f"{where}: is not empty, though no training of its settings scales")
    if not is_used:
        return
    for key in SCALER:
        value: Any = scaler.get(key)
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0 or not (value or key[0] == "_"):
            raise UserError(f"{where}: {key} is {_say(value)}, not a number above 0")


def _check_reference(reference: Any, where: str, must_be_finite: bool) -> None:
    if not isinstance(reference, Mapping) or not set(reference) <= {"student", "teacher"}:
        raise UserError(f"{where}: is {_say(reference)}, not a dictionary of `student` and `teacher`")
    for key, state in reference.items():
        if state != {}:
            _check_weights(state, f"{where}: {key}", must_be_finite)


def _check_journal(journal: Any, iteration: int, where: str) -> None:
    if not isinstance(journal, Mapping) or not isinstance(journal.get("sums"), Mapping):
        raise UserError(f"{where}: has no sums")
    sums, count, seconds = journal["sums"], journal.get("count"), journal.get("seconds")
    if type(count) is not int or not 0 <= count <= iteration or bool(count) != bool(sums):
        raise UserError(f"{where}: count is {_say(count)}, which does not fit iteration {iteration} and its sums")
    for key, value in {**sums, "seconds": seconds}.items():
        if not isinstance(key, str) or type(value) not in (int, float) or not math.isfinite(value):
            raise UserError(f"{where}: {_say(key)} is {_say(value)}, not a number")
    missing = journal.get("missing_views", {})
    if not isinstance(missing, Mapping) or any(type(count) is not int or count < 0 for count in missing.values()):
        raise UserError(f"{where}: missing_views is {_say(missing)}, not numbers of draws")


def _check_optimizer_fits(optimizer: Mapping[str, Any], model: Detector, config: Config, where: str) -> None:
    groups = parameter_groups(model, config.optimizer)
    sizes, expected = [len(group["params"]) for group in optimizer["param_groups"]], [len(g["params"]) for g in groups]
    if sizes != expected:
        raise UserError(f"{where}: has groups of {sizes} parameters, its model has {expected}")
    parameters = [parameter for group in groups for parameter in group["params"]]
    moments = optimizer["state"]
    if moments and config.model.aux_loss and len(moments) < len(parameters):
        lacking = next(number for number in range(len(parameters)) if number not in moments)
        raise UserError(f"{where}: has no moments of parameter {lacking}")
    for number, own in moments.items():
        for key in ("exp_avg", "exp_avg_sq"):
            # AdamW's fused kernel writes as many numbers as the parameter has, whatever is there.
            if own[key].shape != parameters[number].shape or own[key].dtype != parameters[number].dtype:
                says = f"{key} of parameter {number} is {_describe(own[key])}, not {_describe(parameters[number])}"
                raise UserError(f"{where}: {says}")


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _say(value: Any) -> str:
    """Return a value as one short line."""
    if value is None or isinstance(value, (int, float, str)):
        text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a huge number"
        return text if len(text) <= 40 else f"{text[:40]}..."
    return f"of type {type(value).__name__}"
