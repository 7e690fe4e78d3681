"""Load weights into a detector, and report what did and did not fit."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf.base import ContainerMetadata, Metadata
from omegaconf.listconfig import ListConfig
from omegaconf.nodes import AnyNode
from torch import Tensor

from vclr.catalog.weights import STUDENT, TEACHER
from vclr.config import Config, config_from_text, load_config
from vclr.detectron2_package import is_model_config
from vclr.errors import UsageError, UserError
from vclr.file_names import say_nearest
from vclr.models import caffe2
from vclr.models.archive import check_archive
from vclr.models.array_pickle import load_array_pickle
from vclr.models.checkpoint import check_fit, check_form, check_tensor, is_checkpoint
from vclr.models.detector import Detector
from vclr.models.layouts import BACKBONE_LAYOUTS, backbone_depth, rename
from vclr.models.meta_weights import split_meta_architecture
from vclr.option_names import option

# Keys under which files keep the student's and the teacher's weights: ours, the reference's, and those of backbones.
STUDENT_KEYS = ("model", "state_dict", "blobs")
TEACHER_KEYS = ("teacher", "ema_state")

# If fewer of its tensors fit, a file is of another model, even if some names and shapes agree.
LEAST_SHARE = 0.5

# The reference writes AdamW's betas as an OmegaConf list, which consists of these types.
LIST_CONFIG: list[Any] = [ListConfig, ContainerMetadata, Metadata, AnyNode, Any, defaultdict, dict, list, int]


@dataclass
class WeightsReport:
    """What `load_weights` did.

    Attributes:
        layout: the naming scheme of the weights: vclr, reference, detectron2, caffe2 or torchvision.
        loaded: keys of the model that were loaded.
        missing: keys of the model that the weights lack; they keep their values.
        unexpected: unknown keys of the weights.
        ignored: keys of the weights that the model does not use, with the reason.
        changed_shape: keys of both whose shapes differ, with (in the weights, in the model); they keep their values.
    """

    layout: str = "vclr"
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    changed_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every weight of the model was loaded."""
        return not self.missing and not self.changed_shape

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded ({self.layout} names)"]
        shapes = [f"{key} is {given}, not {wanted}" for key, (given, wanted) in self.changed_shape.items()]
        lists = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": shapes}
        for name, items in lists.items():
            if items:
                parts.append(f"{len(items)} {name} ({', '.join(items[:3])}{', ...' if len(items) > 3 else ''})")
        for reason in dict.fromkeys(self.ignored.values()):
            keys = [key for key, why in self.ignored.items() if why == reason]
            parts.append(f"{len(keys)} ignored ({keys[0]}{', ...' if len(keys) > 1 else ''}: {reason})")
        if self.layout == caffe2.LAYOUT:
            parts.append(caffe2.NOTE)
        return "; ".join(parts)


@torch.no_grad()
def load_weights(
    model: Detector,
    source: str | Path | Mapping[str, Any],
    use_teacher: bool = False,
    strict: bool = False,
    name: str = "weights",
) -> WeightsReport:
    """Load a checkpoint, a state dict, or the file of one into a detector.

    The naming scheme is detected: ours, alone or in a checkpoint of detectron2; the reference's (`model`, `ema_state`);
    that of a backbone from detectron2, from Caffe2, or from torchvision and DINO. A prefix such as `module.` does not
    matter.

    Args:
        model: the detector; its device and dtype stay.
        source: a file, or its content: a checkpoint or the state dict itself.
        use_teacher: take the checkpoint's teacher (moving average) instead of its student.
        strict: raise an error if the weights do not cover the model.
        name: the name of a source that is not a file, for errors.

    Raises:
        UserError: the file cannot be read or is not a whole checkpoint; hardly anything in it fits, or part of its
            backbone does not; the number of queries differs; a weight is not finite.
    """
    if isinstance(source, (str, Path)):
        source, name = read_weights(source), str(source)
    layout, renamed, ignored = rename(find_state(source, use_teacher, name), model)
    own = model.state_dict()
    report = WeightsReport(layout=layout, ignored=ignored)
    for key, value in renamed.items():
        if key not in own:
            report.unexpected.append(key)
        elif value.shape != own[key].shape:
            report.changed_shape[key] = tuple(value.shape), tuple(own[key].shape)
        else:
            report.loaded.append(key)
    report.missing = sorted(own.keys() - renamed.keys())
    if "query_content.weight" in report.changed_shape:
        given, wanted = (shape[:1] for shape in report.changed_shape["query_content.weight"])
        if given and given != wanted:
            raise UserError(
                f"{name}: holds {given[0]} queries, the model has {wanted[0]}; set model.num_queries={given[0]}"
            )
    if report.loaded and (report.layout in BACKBONE_LAYOUTS or not strict):  # else all of a detector is compared below
        _check_backbone(report, renamed, model, name)
    if not report.loaded or (strict and not report.is_complete):
        raise UserError(f"{name}: {'does not fit' if report.loaded else 'nothing in it fits'} the model ({report})")
    if len(report.loaded) < LEAST_SHARE * len(renamed):
        raise UserError(f"{name}: only {len(report.loaded)} of its {len(renamed)} tensors fit the model ({report})")
    if strict and is_checkpoint(source):
        check_fit(source, model, name)
    for key in report.loaded:
        check_tensor(renamed[key], f"{name}: {key}")
        if renamed[key].is_floating_point() != own[key].is_floating_point():
            raise UserError(f"{name}: {key} is of type {renamed[key].dtype}, not {own[key].dtype}")
    for key in report.loaded:
        own[key].copy_(renamed[key])
    return report


def _check_backbone(report: WeightsReport, renamed: Mapping[str, Tensor], model: Detector, name: str) -> None:
    """Refuse a backbone that fits only in part: some weights of ResNet-18 have names that ResNet-50 has too."""
    lacking = {key for key in model.state_dict() if key.startswith("backbone.")}.difference(report.loaded)
    surplus = [key for key in report.unexpected if report.layout in BACKBONE_LAYOUTS or key.startswith("backbone.")]
    has_backbone = report.layout in BACKBONE_LAYOUTS or any(key.startswith("backbone.") for key in renamed)
    if not has_backbone or not (lacking or surplus):
        return
    depth, wanted = backbone_depth(renamed), model.config.backbone.depth
    if model.config.backbone.name == "resnet" and depth not in (None, wanted):
        width = 64 if depth < 50 else 256
        raise UserError(
            f"{name}: its backbone is a ResNet-{depth}, the model's a ResNet-{wanted}: give the weights of that one, "
            f"or set model.backbone.depth={depth} model.backbone.res2_out_channels={width}"
        )
    shapes = [f"{key} is {given}, not {wanted}" for key, (given, wanted) in report.changed_shape.items()]
    if differing := [text for text in shapes if text.startswith("backbone.")]:
        raise UserError(f"{name}: its backbone is another one: {differing[0]}")
    if lacking:
        raise UserError(f"{name}: lacks {len(lacking)} weights of the backbone, for example {min(lacking)}")
    raise UserError(f"{name}: its backbone has {len(surplus)} weights that the model's lacks, for example {surplus[0]}")


def find_state(content: Mapping[str, Any], use_teacher: bool, name: str) -> dict[str, Tensor]:
    """Return the student's or the teacher's weights from the content of a file, which may be the weights themselves.

    Raises:
        UserError: there is no teacher, or a weight is not a tensor.
    """
    keys = TEACHER_KEYS if use_teacher else (*STUDENT_KEYS, *TEACHER_KEYS)
    held = [content[key] for key in keys if isinstance(content.get(key), Mapping)]
    if use_teacher and not any(held):
        raise UserError(f"{name}: holds no teacher (train.model_ema was off)")
    if broken := [key for key in keys if not isinstance(content.get(key), (Mapping, Tensor, np.ndarray, type(None)))]:
        raise UserError(
            f"{name}: {broken[0]}: is of type {type(content[broken[0]]).__name__}, not a dictionary of tensors"
        )
    state = next((part for part in held if part), held[0] if held else content)
    tensors = {key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in state.items()}
    for key, value in tensors.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(
                f"{name}: its weights are not a dictionary of tensors: {key!r:.60} is a {type(value).__name__}"
            )
        check_tensor(value, f"{name}: {key}", must_be_finite=False)
    return tensors


def held_weights(content: Mapping[str, Any]) -> list[str]:
    """List whose weights a file holds: the student's, the teacher's or both. Weights alone count as a student's."""
    keys = {STUDENT: STUDENT_KEYS, TEACHER: TEACHER_KEYS}
    held = {name: [content[key] for key in own if content.get(key) is not None] for name, own in keys.items()}
    # An empty dictionary is what a file without a teacher may hold.
    named = [name for name, parts in held.items() if any(not isinstance(part, Mapping) or part for part in parts)]
    return named or [STUDENT]


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values onto the CPU; nothing in it is executed. A checkpoint of ours is whole.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors, arrays and plain values; or it is a
            checkpoint of ours whose parts do not agree.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: cannot be read: it is a folder, not a checkpoint")
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint{say_nearest(path)}")
    content = split_meta_architecture(read_tensors(path))
    if is_checkpoint(content):
        check_form(content, str(path))
    return content


def find_checkpoint(path: Path) -> Path:
    """Return the file of a checkpoint; the folder of a training stands for its last one.

    Raises:
        UserError: the folder holds no checkpoint.
    """
    if not path.is_dir():
        return path
    for last in (path / "checkpoints" / "last.pt", path / "last.pt"):
        if last.is_file():
            return last
    below = sorted(path.glob("*/checkpoints/last.pt"))
    nearest = f"; nearest: {below[0].parent.parent}" if below else ""
    raise UserError(f"{path}: holds no checkpoints/last.pt{nearest}")


def read_tensors(path: Path, must_be_archive: bool = False) -> dict[Any, Any]:
    """Read a file as `read_weights` does, without checking its content.

    With `must_be_archive`, files in torch's older format are refused.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors, arrays and plain values.
    """
    is_archive = must_be_archive or _is_archive(path)
    if is_archive:
        check_archive(path)
    try:
        if path.suffix == ".pkl" and not is_archive:
            content = load_array_pickle(path)
        else:
            with torch.serialization.safe_globals(LIST_CONFIG), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about how a file was written
                content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise UserError(f"{path}: is larger than the memory, or damaged") from None
    except Exception as error:  # torch raises zipfile's, pickle's and its own errors here
        raise UserError(f"{path}: is not a checkpoint: {_explain(error, is_archive)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a checkpoint: it holds one {type(content).__name__}")
    return content


def _is_archive(path: Path) -> bool:
    """Tell an archive, even one that was cut off, from files in torch's older format."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04" or zipfile.is_zipfile(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def _explain(error: Exception, is_archive: bool) -> str:
    """Say in our own words what is wrong with a file: torch would advise executing what it does not know."""
    if foreign := re.search(r"GLOBAL (\S+)|(?:function|class|global) (\S+) (?:was|is) not", str(error)):
        return f"it holds {foreign[1] or foreign[2]}, which is not a tensor; nothing in it was executed"
    if isinstance(error, pickle.UnpicklingError) and str(error).startswith("holds "):  # ours, of array_pickle
        return f"it {error}"
    return "it is a zip that `torch.save` did not write" if is_archive else "`torch.save` did not write it"


def count_queries(content: Mapping[str, Any], name: str) -> int | None:
    """Return the number of queries that a file's weights are for; None if they are of a backbone alone."""
    for key, value in find_state(content, False, name).items():
        if key.endswith(("query_content.weight", "transformer.tgt_embed.weight")) and value.dim():
            return len(value)
    return None


def config_of(
    content: Mapping[str, Any], source: str | Path, config_file: Path | None = None, overrides: Sequence[str] = ()
) -> Config:
    """Return the configuration in a file of weights, else the given one, else the published one.

    `config_file` may be of a model of detectron2: photos are then resized as it says.

    Raises:
        UsageError: settings are given for a file that has its own.
    """
    if "config" in content:
        if config_file or overrides:
            raise UsageError(f"{source}: holds its own configuration; leave {option('config_file')} and settings out")
        return config_from_text(content["config"], str(source))
    if config_file is not None and is_model_config(config_file):
        return _config_of_model(config_file, overrides)
    if config_file is None and (num_queries := count_queries(content, str(source))) is not None:
        overrides = [f"model.num_queries={num_queries}", *overrides]
    return load_config(config_file, list(overrides))


def _config_of_model(config_file: Path, overrides: Sequence[str]) -> Config:
    """Return the default settings with a model of detectron2, and with the sizes to which that resizes photos."""
    from vclr.models.detectron2_config import read_model_config, test_sizes

    config = load_config(None, [f"detectron2.config={config_file}", *overrides])
    if sizes := test_sizes(read_model_config(config.detectron2, torch.device("cpu"))):
        mapper = config.dataloader.test.mapper
        mapper.short_edge_length, mapper.max_size = sizes
    return config
