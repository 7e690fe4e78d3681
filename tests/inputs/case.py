"""A small data set that the inputs of docs/inputs.md damage, and the commands that read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from typer.testing import CliRunner

from vclr.cli import app, explain_misuse
from vclr.errors import explain
from vclr.files import write_json
from vclr.pictures import write_png

HEIGHT, WIDTH = 30, 40
Json = dict[str, Any]
Answer = tuple[int, str]  # exit code of a command, and all that it prints


class Case:
    """A valid data set of two photos in the current folder, for a row to damage, and the commands that read it."""

    def __init__(self) -> None:
        for name in ("a.png", "b.png"):
            write_png(Path("photos", name), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        images = [
            {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for number, name in enumerate(("a.png", "b.png"), start=1)
        ]
        annotations = [
            {"id": number, "image_id": number, "category_id": number, "iscrowd": 0, "bbox": [4, 4, 20, 8], "area": 160}
            for number in (1, 2)
        ]
        categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cup"}]
        self.json: Json = {"images": images, "annotations": annotations, "categories": categories}

    def vclr(self, *arguments: str) -> Answer:
        """Run a command and return its exit code and all that it prints."""
        result = CliRunner().invoke(app, list(arguments), standalone_mode=False)
        if result.exception is None or isinstance(result.exception, SystemExit):
            return result.return_value or 0, result.output
        explanation = explain_misuse(result.exception) or explain(result.exception)
        assert explanation is not None, repr(result.exception)
        message, exit_code = explanation
        return exit_code, f"{result.output}vclr: {message}"

    def doctor(self, *more: str) -> Answer:
        write_json(Path("a.json"), self.json)
        return self.vclr("doctor", "data", "--annotations", "a.json", "--images", "photos", *more)

    def split(self) -> Answer:
        """Read the json, and the photos by their headers, as training and evaluation do."""
        write_json(Path("a.json"), self.json)
        return self.vclr("split", "one_class", "--annotations", "a.json", "--output", "voc.json")

    def split_text(self, data: bytes) -> Answer:
        Path("a.json").write_bytes(data)
        return self.vclr("split", "one_class", "--annotations", "a.json", "--output", "voc.json")

    def photo(self, name: str, image: Image.Image) -> Answer:
        """Replace a.png by another photo."""
        image.save(Path("photos", name))
        self.json["images"][0] |= {"file_name": name, "height": image.height, "width": image.width}
        return self.doctor()

    def named(self, name: str) -> Answer:
        self.json["images"][0]["file_name"] = name
        return self.doctor()

    def score(self, predictions: Any) -> Answer:
        write_json(Path("a.json"), self.json)
        write_json(Path("p.json"), predictions)
        return self.vclr("score", "a.json", "p.json")

    def labelme(self, photo: str = "a.png", **shape: Any) -> Answer:
        one = {
            "label": "dog",
            "points": [[1, 1], [9, 1], [5, 9]],
            "shape_type": "polygon",
            "group_id": None,
            "flags": {},
        }
        content = {"shapes": [one | shape], "imagePath": photo, "imageData": None}
        Path("labels").mkdir(exist_ok=True)
        shutil.copy("photos/a.png", "labels/a.png")
        Path("labels/a.json").write_text(json.dumps(content | {"imageHeight": HEIGHT, "imageWidth": WIDTH}))
        return self.vclr("import", "labelme", "labels", "--output", "made.json")

    def convert(self, content: Any) -> Answer:
        """Save a checkpoint and convert it."""
        torch.save(content, "a.pt")
        return self.vclr("convert", "a.pt", "--output", "b.pth")

    def config(self, text: str, *overrides: str) -> Answer:
        Path("b.yaml").write_text(text)
        return self.vclr("doctor", "data", "--config-file", "b.yaml", *overrides)
