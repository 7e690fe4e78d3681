"""Convert weights and whole trainings between the files of programs: ours, the reference's, detectron2's, backbones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vclr.catalog.layouts import DETECTRON2, VCLR, WEIGHT_LAYOUTS
from vclr.config import Config
from vclr.engine.optim import build_scheduler
from vclr.engine.state import TrainState
from vclr.errors import UsageError, UserError, first_line, nearest
from vclr.files import atomic_path
from vclr.models.build import build_model
from vclr.models.checkpoint import check_fit, check_form, check_tensor, is_checkpoint
from vclr.models.layouts import unwrap
from vclr.models.learning_rates import rate_factor
from vclr.models.meta_weights import join_meta_architecture
from vclr.models.reference import (
    initial_unused,
    reference_keys,
    reference_parameters,
    to_reference,
    unused_weights,
    with_aliases,
)
from vclr.models.weights import (
    TEACHER_KEYS,
    WeightsReport,
    config_of,
    count_queries,
    find_state,
    load_weights,
    read_weights,
)


def convert(
    source: Path, output: Path, to: str = VCLR, config_file: Path | None = None, overrides: Sequence[str] = ()
) -> WeightsReport:
    """Write weights, and everything that a training needs to continue, in another layout.

    Args:
        source: a checkpoint of ours or of the reference, weights alone, or a backbone of detectron2 or torchvision.
        output: the file to write.
        to: vclr, reference, or detectron2: what its checkpointer loads into `VclrDetector`.
        config_file: the training's configuration, if the source does not contain its own.
        overrides: `key=value` settings on top of it.

    Raises:
        UsageError: the layout is unknown, or settings are given for a file that has its own.
        UserError: the source cannot be read or does not fit the settings; says which to set.
    """
    if to not in WEIGHT_LAYOUTS:
        raise UsageError(f"--to {to}: must be {', '.join(WEIGHT_LAYOUTS)}; nearest: {nearest(to, WEIGHT_LAYOUTS)}")
    content = read_weights(source)
    config = config_of(content, source, config_file, overrides)
    if count_queries(content, str(source)) is None:
        report, converted = _convert_backbone(content, config, to, str(source))
    else:
        state, report = _restore(content, config, str(source))
        own = state.state_dict()
        check_form(own, str(source))  # of the reference's files, only the parts taken over have been checked so far
        check_fit(own, state.student, str(source))
        if to == DETECTRON2:
            converted = join_meta_architecture(own["model"], own["teacher"], own["config"])
        else:
            converted = own if to == VCLR else to_reference_checkpoint(state)
    with atomic_path(output) as partial:
        torch.save(converted, partial)
    return report


def _convert_backbone(
    content: Mapping[str, Any], config: Config, to: str, name: str
) -> tuple[WeightsReport, dict[str, Any]]:
    """Rename the weights of a backbone; the file holds no other part of a detector."""
    detector = build_model(config)
    report = load_weights(detector, content, name=name)
    names = reference_keys(detector)
    state = detector.state_dict()
    kept = {key if to == VCLR else names[key]: state[key] for key in report.loaded}
    if to == DETECTRON2:
        backbone = {key.removeprefix("backbone."): value for key, value in kept.items()}
        return report, {"model": backbone, "matching_heuristics": True}  # then its checkpointer adds what precedes
    return report, {"model": kept}


def _restore(content: Mapping[str, Any], config: Config, name: str) -> tuple[TrainState, WeightsReport]:
    """Rebuild the training in a file; a file of weights alone gives one that has not begun."""
    state = TrainState(config, torch.device("cpu"))
    report = load_weights(state.student, content, strict=True, name=name)
    if is_checkpoint(content) and "optimizer" in content:
        state.load_state_dict(dict(content))
        return state, report
    has_teacher = any(content.get(key) for key in TEACHER_KEYS)
    if state.teacher:
        taught = content if has_teacher else state.student.state_dict()
        load_weights(state.teacher.detector, taught, has_teacher, strict=True, name=name)
    if report.layout == "reference":
        for key, use_teacher in (("student", False), ("teacher", has_teacher)):
            state.reference[key] = unused_weights(unwrap(find_state(content, use_teacher, name)), state.student)
        if "trainer" in content:
            try:
                _continue(state, content["trainer"], name)
            except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RuntimeError) as error:
                says = f"{type(error).__name__}: {first_line(error)}"
                raise UserError(f"{name}: its trainer is not one of the reference's ({says})") from None
    return state, report


# --- the reference's trainer -----------------------------------------------------------------------------------------

# An optimizer group of the reference: its learning rate and weight decay.
GroupKind = tuple[float, float]


def _continue(state: TrainState, trainer: Mapping[str, Any], name: str) -> None:
    """Take over the iteration, optimizer and gradient scaler of the reference's trainer.

    No file holds its data order and random numbers, so the training continues with ours.
    """
    if type(trainer["iteration"]) is not int or trainer["iteration"] < 0:
        raise ValueError("its iteration is not a number from 0")
    state.iteration = trainer["iteration"] + 1  # the reference counts from 0 and names the last one that is done
    groups, moments = trainer["optimizer"]["param_groups"], trainer["optimizer"]["state"]
    expected = _reference_groups(state)
    _check_settings(state.config, expected, groups, name)
    names = [key for group in expected.values() for key in group]
    _check_rates(state, groups, name)
    index_of = dict(zip(names, [index for group in groups for index in group["params"]], strict=True))
    keys = reference_keys(state.student)
    for ours, parameter in state.student.named_parameters():
        own = moments.get(index_of.get(keys[ours]))
        if own is None:
            continue  # frozen
        for key in ("exp_avg", "exp_avg_sq"):
            check_tensor(own[key], f"{name}: its optimizer's {key} of {keys[ours]}")
            if own[key].shape != parameter.shape:
                raise UserError(f"{name}: its optimizer has {tuple(own[key].shape)} for {keys[ours]}")
        state.optimizer.state[parameter] = {
            "step": torch.as_tensor(own["step"], dtype=torch.float32).reshape(()),
            "exp_avg": own["exp_avg"].clone(memory_format=torch.contiguous_format),
            "exp_avg_sq": own["exp_avg_sq"].clone(memory_format=torch.contiguous_format),
        }
    state.scheduler = build_scheduler(state.optimizer, state.config.optimizer, state.iteration)
    if state.scaler.is_enabled() and "grad_scaler" in trainer:
        state.scaler.load_state_dict(trainer["grad_scaler"])


def _check_settings(
    config: Config, expected: dict[GroupKind, list[str]], groups: Sequence[Mapping[str, Any]], name: str
) -> None:
    """Compare the optimizer settings of the reference's training with those it would continue with."""
    if [len(group["params"]) for group in groups] != [len(names) for names in expected.values()]:
        raise UserError(f"{name}: its optimizer has other parameters than a detector of these settings")
    betas = list(config.optimizer.betas)
    for group, (lr, weight_decay) in zip(groups, expected, strict=True):
        trained = group.get("initial_lr", group["lr"]), group["weight_decay"], list(group["betas"])
        given = lr, weight_decay, betas
        for key, was, value in zip(("lr", "weight_decay", "betas"), trained, given, strict=True):
            if not np.allclose(np.asarray(was), np.asarray(value), rtol=1e-6, atol=0):
                raise UserError(f"{name}: was trained with optimizer.{key}={was}, the settings say {value}")


def _check_rates(state: TrainState, groups: Sequence[Mapping[str, Any]], name: str) -> None:
    """Compare the learning rates of the reference's training with those that the settings have at its iteration."""
    factor = rate_factor(state.config.optimizer, state.iteration)
    for group in groups:
        expected = group.get("initial_lr", group["lr"]) * factor
        if not np.isclose(group["lr"], expected, rtol=1e-6, atol=0):
            raise UserError(
                f"{name}: its learning rate at iteration {state.iteration} is {group['lr']:g}, the settings say "
                f"{expected:g}; set train.max_iter and optimizer.milestones as they were"
            )


def _reference_groups(state: TrainState) -> dict[GroupKind, list[str]]:
    """List the parameters of each optimizer group as the reference numbers them.

    Parameters are in the order of its modules, groups in that of their first parameters.
    """
    keys = reference_keys(state.student)
    names = {id(parameter): keys[name] for name, parameter in state.student.named_parameters()}
    kinds = {names[id(p)]: _kind(group) for group in state.optimizer.param_groups for p in group["params"]}
    unused = _unused(state)
    kinds |= dict.fromkeys(unused, kinds[keys["query_content.weight"]])
    groups: dict[GroupKind, list[str]] = {}
    for name in reference_parameters(state.student, unused):
        if name in kinds:  # the others are frozen
            groups.setdefault(kinds[name], []).append(name)
    return groups


def _kind(group: Mapping[str, Any]) -> GroupKind:
    return group["initial_lr"], group["weight_decay"]


def _unused(state: TrainState) -> dict[str, Tensor]:
    """Return the weights that only the reference has: those of the converted training, or fresh ones."""
    return state.reference.get("student") or initial_unused(state.student.config, state.config.train.seed)


def to_reference_checkpoint(state: TrainState) -> dict[str, Any]:
    """Return what the reference's checkpointer would have written."""
    unused = _unused(state)
    checkpoint: dict[str, Any] = {"model": with_aliases(to_reference(state.student, unused))}
    if state.teacher:
        checkpoint["ema_state"] = to_reference(state.teacher.detector, state.reference.get("teacher") or unused)
    if state.iteration:
        hooks = {"LRScheduler": {"base_lrs": state.scheduler.base_lrs, "last_epoch": state.iteration}}
        trainer = {"iteration": state.iteration - 1, "hooks": hooks, "optimizer": _export_optimizer(state, unused)}
        if state.scaler.is_enabled():
            trainer["grad_scaler"] = state.scaler.state_dict()
        checkpoint |= {"trainer": trainer, "iteration": state.iteration - 1}
    return checkpoint


def _export_optimizer(state: TrainState, unused: Mapping[str, Tensor]) -> dict[str, Any]:
    """Number the parameters as the reference does; those without a gradient there have moments of zero."""
    keys = reference_keys(state.student)
    moments = {keys[name]: state.optimizer.state.get(p, {}) for name, p in state.student.named_parameters()}
    step = next((own["step"] for own in moments.values() if own), torch.zeros(()))
    for name, weight in unused.items():
        zeros = torch.zeros_like(weight)
        moments[name] = {"step": step.clone(), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
    own_groups = {_kind(group): group for group in state.optimizer.param_groups}
    numbered: dict[int, Any] = {}
    groups = []
    for kind, names in _reference_groups(state).items():
        indices = range(len(numbered), len(numbered) + len(names))
        numbered |= {index: moments[name] for index, name in zip(indices, names, strict=True)}
        groups.append({**own_groups[kind], "fused": None, "params": list(indices)})
    return {"state": numbered, "param_groups": groups}
