"""Files of proposals for tests: random boxes and blobs in some images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vclr.files import write_json
from vclr.object_proposals.proposals_file import describe_mask

Json = dict[str, Any]
HEIGHT, WIDTH = 40, 60


def images_of(count: int) -> list[Json]:
    return [{"id": 10 + n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in range(count)]


def random_masks(seed: int, count: int) -> np.ndarray:
    """Return (n, h, w) ellipses; several overlap."""
    random = np.random.default_rng(seed)
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    rows = random.uniform((5, 5, 4, 4), (35, 55, 15, 20), (count, 4))
    masks = [((y - top) / tall) ** 2 + ((x - left) / wide) ** 2 < 1 for top, left, tall, wide in rows]
    return np.array(masks).reshape(-1, HEIGHT, WIDTH)


def random_entries(seed: int, num_images: int = 3, count: int = 12, with_masks: bool = True) -> list[Json]:
    """Return proposals; a few have equal scores."""
    entries = []
    for image in images_of(num_images):
        random = np.random.default_rng([seed, image["id"]])
        for mask, score in zip(
            random_masks(int(random.integers(99)), count), random.integers(1, 30, count), strict=True
        ):
            entry = {**describe_mask(mask, score / 30), "image_id": image["id"], "id": len(entries) + 1}
            if not with_masks:
                del entry["segmentation"]
            entries.append(entry)
    return entries


def write_source(path: Path, entries: list[Json], num_images: int = 3, **head: Any) -> Path:
    write_json(
        path,
        {**head, "images": images_of(num_images), "annotations": entries, "categories": [{"id": 1, "name": "object"}]},
    )
    return path
