"""The test set of metrics: photos in one folder, or in several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vclr.config import load_config
from vclr.errors import UserError
from vclr.evaluation.evaluated_set import EvaluatedSet, read_evaluated_set, unique_titles


def read(images: Any) -> EvaluatedSet:
    facts = {"annotations": "a.json", "sha256": "0", "images": images}
    return read_evaluated_set({"provenance": {"test_set": facts}}, Path("metrics.json"), load_config(), "")


def test_photos_in_several_folders():
    one, several = read("photos"), read(["photos", "more"])
    assert one.key == read(["photos"]).key != several.key != read(["more", "photos"]).key
    assert several.files.images == ["photos", "more"]
    assert unique_titles([one, several], "data") == ["a.json with photos", "a.json with photos, more"]
    assert len(set(unique_titles([one, one], "data"))) == 2


@pytest.mark.parametrize("images", [None, 5, ["photos", 5]])
def test_damaged_names_of_folders_are_one_line(images: Any):
    with pytest.raises(UserError, match=r"metrics\.json: provenance: does not name the test set"):
        read(images)
