"""Pretrained models: opened from a folder, known by their files, and refused in one line."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vclr.errors import UsageError, UserError
from vclr.pictures import write_png
from vclr.views.write import write_views

pytest.importorskip("transformers", reason="needs transformers")

from tests.tiny_models import save_dpt  # noqa: E402
from vclr.model_source import hash_folder  # noqa: E402
from vclr.pretrained import load_pretrained  # noqa: E402


@pytest.fixture(scope="module")
def dpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dpt(tmp_path_factory.mktemp("models") / "dpt")


def test_a_folder_is_known_by_its_files(dpt: Path, tmp_path: Path) -> None:
    loaded = load_pretrained("depth", str(dpt), dtype=torch.bfloat16)
    assert (loaded.facts["model"], loaded.facts["license"], loaded.facts["dtype"]) == ("dpt", "apache-2.0", "bfloat16")
    assert not loaded.model.training and loaded.model.dtype == torch.bfloat16
    assert not any(values.requires_grad for values in loaded.model.parameters())
    copy = shutil.copytree(dpt, tmp_path / "copy")
    assert hash_folder(copy) == loaded.facts["sha256"]
    (copy / "manifest.json").write_text("{}")  # of `vclr fetch`
    assert hash_folder(copy) == loaded.facts["sha256"]
    (copy / "config.json").write_text((dpt / "config.json").read_text() + "\n")
    assert hash_folder(copy) != loaded.facts["sha256"]


def test_what_is_not_such_a_model_is_one_line(dpt: Path, tmp_path: Path) -> None:
    shutil.copytree(dpt, tmp_path / "half")
    config = json.loads((dpt / "config.json").read_text())
    (tmp_path / "half" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    shutil.copytree(dpt, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").write_bytes((dpt / "model.safetensors").read_bytes()[:1000])
    (tmp_path / "empty").mkdir()
    for source, message in [
        (tmp_path / "half", r"half: its file lacks \d+ of the model's weights \(dpt\.encoder\.layer\.4.*for example\)"),
        (tmp_path / "cut", "cut: cannot be loaded as a model of depth: "),
        (tmp_path / "empty", "empty: cannot be loaded as a model of depth: "),
        (tmp_path / "nowhere" / "at" / "all", "all: no such folder; name a folder, or a model of the hub"),
    ]:
        with pytest.raises(UserError, match=message) as error:
            load_pretrained("depth", str(source))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="cannot be loaded as a model of masks"):
        load_pretrained("masks", str(dpt))
    with pytest.raises(UsageError, match="--revision main: .* is a folder, which has no revisions"):
        load_pretrained("depth", str(dpt), "main")


def test_without_the_extra_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_png(tmp_path / "photos" / "a.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "transformers", None)
    says = "models of the hub need transformers, which is not installed; pip install 'vclr[models]'"
    with pytest.raises(UsageError, match=re.escape(says)):
        write_views("depth", tmp_path / "photos", tmp_path / "depth", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_offline_hub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as error:
        load_pretrained("depth", "depth-anything/Depth-Anything-V2-Small-hf")
    says = str(error.value)
    assert says.startswith("depth-anything/Depth-Anything-V2-Small-hf: no such folder, and the hub gave no model ")
    assert says.endswith("name a folder with the model's files if the hub cannot be reached") and "\n" not in says
