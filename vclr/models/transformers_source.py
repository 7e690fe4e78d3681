"""Open a model of transformers as the body of a backbone: from a folder, from the hub, or from a checkpoint's text."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vclr.config import BackboneConfig
from vclr.errors import UsageError, UserError, first_line
from vclr.model_source import MAIN, locate_source
from vclr.pretrained import explaining, import_transformers

log = logging.getLogger("vclr.models")

EXTRA = "backbones"
# The class of transformers that builds and opens each `model_type`.
PLAIN = {
    "vit": "ViTModel",
    "dinov2": "Dinov2Backbone",
    "dinov2_with_registers": "Dinov2WithRegistersBackbone",
    "dinov3_vit": "DINOv3ViTBackbone",
}
KINDS = {
    "swin": "SwinBackbone",
    "convnext": "ConvNextBackbone",
    "convnextv2": "ConvNextV2Backbone",
    "dinov3_convnext": "DINOv3ConvNextBackbone",
    **PLAIN,
}
STAGES = [2, 3, 4]  # of a hierarchical model: its maps of strides 8, 16 and 32
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
# Norms of the maps, which no pretraining has, and weights that the maps do not depend on.
MAY_LACK = re.compile(r"hidden_states_norms\.|swin\.layernorm\.|\w*\.?mask_token$")
HUB_SECONDS = 10


def open_body(config: BackboneConfig) -> nn.Module:
    """Build the model that the settings name, in training mode, with its weights if the source has any.

    With `config.architecture`, as checkpoints have it, the source is not read and the weights are random.

    Raises:
        UsageError: transformers is not installed, the model has no drop path, or a folder has a revision.
        UserError: there is no such model, the hub does not answer, or vclr does not know models of its kind.
    """
    transformers = import_transformers(EXTRA)
    if config.architecture:
        own = _read_text(transformers, config.architecture)
        return _build(transformers, _prepare(own, config, "model.backbone.architecture"))
    source = config.source
    folder = locate_source(source, config.revision and f"model.backbone.revision={config.revision}")
    places: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    if not folder:
        places["revision"] = config.revision or MAIN
        places["local_files_only"] = not _must_ask_hub(source, places["revision"])
    with explaining(source, "features", is_local=folder is not None):
        own = transformers.AutoConfig.from_pretrained(folder or source, **places)
        own = _prepare(own, config, source)
        if folder and not any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
            log.warning("%s: holds no weights, so the backbone starts from random ones", source)
            return _build(transformers, own)
        opener, more = _opener(transformers, own)
        body, loaded = opener.from_pretrained(
            folder or source, config=own, dtype=torch.float32, output_loading_info=True, **more, **places
        )
        _check_weights(loaded, source)
    return body.train()  # type: ignore[no-any-return]


def fetch_settings(config: BackboneConfig) -> None:
    """Download the config.json of a model of the hub, with which its commit is known on this machine.

    Raises:
        UsageError: transformers is not installed.
        UserError: the hub does not answer, or has no such model or revision.
    """
    import_transformers(EXTRA)
    from huggingface_hub import hf_hub_download

    revision = config.revision or MAIN
    _find_on_hub(config.source, revision)
    with explaining(config.source, "features", is_local=False):
        hf_hub_download(config.source, "config.json", revision=revision)


def describe(own: Any) -> str:
    """Return the model without its weights as text, from `transformers`' configuration of it."""
    names = [name for name in type(own).__annotations__ if not name.startswith("_")]
    return json.dumps({"model_type": own.model_type, **{name: getattr(own, name) for name in names}})


def _read_text(transformers: Any, text: str) -> Any:
    try:
        settings = json.loads(text)
        if settings["model_type"] not in KINDS:
            raise ValueError(f"{settings['model_type']} is no kind of backbone")
        return transformers.AutoConfig.for_model(**settings)
    except Exception as error:  # of json, of a missing key, and of transformers, which have no common base
        raise UserError(f"model.backbone.architecture: is not that of a checkpoint: {first_line(error)}") from None


def _prepare(own: Any, config: BackboneConfig, source: str) -> Any:
    """Check that a model can be a backbone, and let it give the maps that are needed."""
    if own.model_type not in KINDS:
        raise UserError(f"{source}: is a model of type {own.model_type}; a backbone is one of {', '.join(KINDS)}")
    if own.num_channels != 3:
        raise UserError(f"{source}: reads {own.num_channels} channels, not 3")
    if own.model_type in PLAIN:
        own.apply_layernorm = own.reshape_hidden_states = True
        if own.model_type != "vit":
            own.out_indices = [own.num_hidden_layers]
    else:
        patch = getattr(own, "patch_size", 4)
        if len(own.depths) != 4 or patch not in (4, [4, 4], (4, 4)):
            raise UserError(
                f"{source}: has {len(own.depths)} stages and patches of {patch}, not 4 stages and patches of 4"
            )
        own.out_indices = STAGES
    if hasattr(own, "drop_path_rate"):
        own.drop_path_rate = config.drop_path
    elif config.drop_path:
        raise UsageError(
            f"model.backbone.drop_path={config.drop_path}: a model of type {own.model_type} has no drop path"
        )
    # DINOv3 draws other positions at each step of its pretraining.
    for name in ("pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale"):
        if hasattr(own, name):
            setattr(own, name, None)
    return own


def _opener(transformers: Any, own: Any) -> tuple[Any, dict[str, Any]]:
    """Return the class that builds and opens a model, and its further arguments."""
    return getattr(transformers, KINDS[own.model_type]), {"add_pooling_layer": False} if own.model_type == "vit" else {}


def _build(transformers: Any, own: Any) -> nn.Module:
    opener, more = _opener(transformers, own)
    body: nn.Module = opener(own, **more)
    return body.float().train()


def _must_ask_hub(source: str, revision: str) -> bool:
    """Tell whether the hub's cache lacks a revision of a model.

    Raises:
        UserError: the hub does not answer, or has no such model or revision.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(source, revision=revision, local_files_only=True))
        if (folder / "config.json").is_file() and any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
            return False
    except LocalEntryNotFoundError:
        pass
    _find_on_hub(source, revision)
    return True


def _find_on_hub(source: str, revision: str) -> None:
    """Raise if the hub does not answer, or has no such model: at once, while a download would try again."""
    from huggingface_hub import HfApi

    with explaining(source, "features", is_local=False):
        HfApi().model_info(source, revision=revision, timeout=HUB_SECONDS)


def _check_weights(loaded: dict[str, Any], source: str) -> None:
    """Refuse weights that do not fill the model: transformers would fill it with random ones."""
    missing = sorted(name for name in loaded["missing_keys"] if not MAY_LACK.match(name))
    other = sorted(str(entry[0]) for entry in loaded.get("mismatched_keys", ()))
    if missing or other:
        what = (
            f"lacks {len(missing)} of the model's weights" if missing else f"has {len(other)} weights of other shapes"
        )
        raise UserError(f"{source}: its file {what}, for example {(missing or other)[0]}")
