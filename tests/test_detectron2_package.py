"""detectron2 is found without being imported, and what is missing is said in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vclr import detectron2_package
from vclr.detectron2_package import find_model_config, is_model_config, require_detectron2
from vclr.errors import UsageError, UserError


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of this name with a model zoo of one configuration, which nobody may import."""
    zoo = tmp_path / "site" / "detectron2" / "model_zoo" / "configs" / "COCO"
    zoo.mkdir(parents=True)
    (zoo / "mask_rcnn.yaml").write_text("VERSION: 2\n")
    (tmp_path / "site" / "detectron2" / "__init__.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_missing_package_is_one_line_with_the_command_of_its_authors(monkeypatch):
    monkeypatch.setattr(detectron2_package, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^here: needs detectron2, .* pip install .*facebookresearch/detectron2"):
        require_detectron2("here")


def test_a_configuration_is_a_file_or_a_name_of_the_zoo(installed):
    assert (
        find_model_config("COCO/mask_rcnn.yaml") == installed / "site/detectron2/model_zoo/configs/COCO/mask_rcnn.yaml"
    )
    (installed / "own.py").write_text("")
    assert find_model_config("own.py").name == "own.py"
    assert is_model_config(Path("COCO/mask_rcnn.yaml")) and not is_model_config(Path("COCO/absent.yaml"))
    assert "detectron2" not in sys.modules
    with pytest.raises(UsageError, match=r"COCO/mask_rcn.yaml: does not exist.*COCO/mask_rcnn.yaml"):
        find_model_config("COCO/mask_rcn.yaml")
    (installed / "own.txt").write_text("")
    with pytest.raises(UsageError, match="must be a YAML file or a LazyConfig"):
        find_model_config("own.txt")


@pytest.mark.parametrize(
    ("name", "text", "is_theirs"),
    [
        ("a.yaml", '_BASE_: "../Base-RCNN-FPN.yaml"\nMODEL:\n  MASK_ON: True\n', True),
        ("a.yaml", "# a comment\nVERSION: 2\n", True),
        ("a.yaml", "base: voc_to_nonvoc.yaml\nmodel:\n  num_queries: 5\n", False),
        ("a.yaml", "", False),
        ("a.py", "model = None\n", True),
    ],
)
def test_their_configurations_are_told_from_ours(tmp_path, name, text, is_theirs):
    path = tmp_path / name
    path.write_text(text)
    assert is_model_config(path) is is_theirs
    assert is_model_config(tmp_path / "absent.yaml") is False
