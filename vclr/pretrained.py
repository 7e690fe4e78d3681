"""Load a pretrained model of the Hugging Face hub, or from a folder with its files, through transformers.

transformers is an extra (`pip install 'vclr[models]'`), so it is imported only here, when a model is loaded.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vclr.errors import UsageError, UserError, first_line, is_out_of_memory
from vclr.model_source import MAIN, cached_commit, hash_folder, locate_source

# The classes of transformers that open a model of each kind, and what prepares its input.
KINDS = {
    "depth": ("AutoModelForDepthEstimation", "AutoImageProcessor"),
    "features": ("AutoModel", "AutoImageProcessor"),
    "masks": ("AutoModelForMaskGeneration", "ImageProcessingMixin"),
}
EXTRA = "models"
CARD = "README.md"  # of a model: its head, between two lines `---`, names the license
UNUSED = r"(\w+\.)*pooler\."  # weights that features do not pass through; many files of features lack them


@dataclass(frozen=True)
class Pretrained:
    """A model that is ready to be called.

    Attributes:
        model: the model, in evaluation mode on its device, without gradients.
        processor: prepares photos for it; for `masks` only its settings, a dictionary.
        facts: `model`, its name; `revision`, the commit on the hub, or `sha256` of the files of a folder; `dtype`;
            `transformers`, the version; and `license`, if the model's card names it.
    """

    model: Any
    processor: Any
    facts: dict[str, str]


def load_pretrained(
    kind: str, source: str, revision: str = "", device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Pretrained:
    """Load a model.

    Args:
        kind: `depth`, `features` or `masks`.
        source: a folder with the model's files, or its name on the hub.
        revision: branch, tag or commit on the hub; "" is the main branch.
        device: where to put it; None is the CPU.
        dtype: the type of its weights.

    Raises:
        UsageError: transformers is not installed, or a folder has a revision.
        UserError: there is no such folder, the hub does not answer, or this is not a model of that kind.
    """
    transformers = import_transformers()
    folder = locate_source(source, revision and f"--revision {revision}")
    is_local = folder is not None
    places: dict[str, Any] = {"trust_remote_code": False, "local_files_only": is_local}
    if not is_local:
        places["revision"] = revision or MAIN
    of_model, of_processor = (getattr(transformers, name) for name in KINDS[kind])
    with explaining(source, kind, is_local):
        model, loaded = of_model.from_pretrained(folder or source, dtype=dtype, output_loading_info=True, **places)
        _check_weights(kind, source, loaded)
        processor = _open_processor(of_processor, folder or source, places)
        # Some models keep tables in float32 whatever the type.
        model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
    if folder:
        facts = {"model": folder.resolve().name, "sha256": hash_folder(folder)}
    else:
        facts = {"model": source, "revision": cached_commit(source, revision) or revision or MAIN}
    facts |= {"dtype": str(dtype).removeprefix("torch."), "transformers": transformers.__version__}
    if found := _find_license(source, is_local, facts.get("revision", "")):
        facts["license"] = found
    return Pretrained(model, processor, facts)


def import_transformers(extra: str = EXTRA) -> Any:
    """Return the package transformers, made quiet.

    Args:
        extra: the extra of vclr that installs it, for the error.

    Raises:
        UsageError: it is not installed, or too old.
    """
    install = f"pip install 'vclr[{extra}]'" + (", with Python 3.11 or newer" if sys.version_info < (3, 11) else "")
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        raise UsageError(f"models of the hub need transformers, which is not installed; {install}") from None
    if int(transformers.__version__.partition(".")[0]) < 5:
        raise UsageError(f"transformers {transformers.__version__} is too old for models of the hub; {install}")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it reports each of many attempts to reach the hub
    return transformers


@contextmanager
def explaining(source: str, kind: str, is_local: bool) -> Iterator[None]:
    """Turn whatever transformers raises for bad files or an absent network into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # its errors, those of safetensors, of json and of HTTP have no common base
        if is_out_of_memory(error):
            raise
        says = re.sub(r"\s+", " ", first_line(error)).rstrip(".")
        if is_local:
            raise UserError(f"{source}: cannot be loaded as a model of {kind}: {says}") from None
        hint = "name a folder with the model's files if the hub cannot be reached"
        raise UserError(f"{source}: no such folder, and the hub gave no model of {kind}: {says}; {hint}") from None


def _open_processor(opener: Any, source: str | Path, places: dict[str, Any]) -> Any:
    """Open a processor that needs no torchvision, if the model has one."""
    if opener.__name__ == "ImageProcessingMixin":  # that of SAM 2 needs torchvision, so its settings must do
        return opener.get_image_processor_dict(source, **places)[0]
    # Pillow's results are the same with and without torchvision.
    return opener.from_pretrained(source, backend="pil", **places)


def _check_weights(kind: str, source: str, loaded: dict[str, Any]) -> None:
    """Refuse weights that do not fill the model: transformers would fill it with random ones."""
    missing = sorted(name for name in loaded["missing_keys"] if kind != "features" or not re.match(UNUSED, name))
    other = sorted(str(entry[0]) for entry in loaded.get("mismatched_keys", ()))
    if missing or other:
        what = (
            f"lacks {len(missing)} of the model's weights" if missing else f"has {len(other)} weights of other shapes"
        )
        raise UserError(f"{source}: its file {what} ({(missing or other)[0]}, for example); it is not such a model")


def _find_license(source: str, is_local: bool, revision: str) -> str:
    """Return the license that a model's card names, "" if there is no card or it names none."""
    with suppress(Exception):  # the card is a courtesy
        if is_local:
            text = (Path(source) / CARD).read_text(encoding="utf-8")
        else:
            from huggingface_hub import hf_hub_download

            text = Path(hf_hub_download(source, CARD, revision=revision)).read_text(encoding="utf-8")
        head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
        found = re.search(r"^license:\s*(\S+)\s*$", head[1], re.MULTILINE) if head else None
        return found[1].strip("\"'") if found else ""
    return ""
