"""Pretrained models: opened from a folder, known by their files, and refused in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vclr.errors import UsageError, UserError

pytest.importorskip("transformers", reason="needs transformers")

from tests.tiny_models import save_dpt  # noqa: E402
from vclr.pretrained import hash_folder, load_pretrained  # noqa: E402

ROOT = Path(__file__).parents[1]


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


def run_vclr(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run `vclr` in a process that first runs some code."""
    code = f"import sys; {before}; from vclr.cli import main; sys.argv = ['vclr', *{list(arguments)!r}]; main()"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_without_the_extra_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes((ROOT / "docs" / "demo.png").read_bytes())
    arguments = ("views", "--view", "depth", "--images", f"{tmp_path}/photos", "--output", f"{tmp_path}/depth")
    done = run_vclr(*arguments, before="sys.modules['transformers'] = None")
    assert done.returncode == 2
    says = "vclr: models of the hub need transformers, which is not installed; pip install 'vclr[models]'\n"
    assert done.stderr == says
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.slow
def test_an_offline_hub_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes((ROOT / "docs" / "demo.png").read_bytes())
    arguments = ("views", "--view", "depth", "--images", f"{tmp_path}/photos", "--output", f"{tmp_path}/depth")
    offline = f"import os; os.environ.update(HF_HUB_OFFLINE='1', HF_HOME={str(tmp_path / 'hub')!r})"
    done = run_vclr(*arguments, before=offline)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(
        "vclr: depth-anything/Depth-Anything-V2-Small-hf: no such folder, and the hub gave no model "
    )
    assert "name a folder with the model's files if the hub cannot be reached" in line
