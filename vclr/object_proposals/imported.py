"""Object proposals of another program: COCO results of any detector, and the published files of CutLER and v-CLR."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vclr.coco.annotations import Json
from vclr.coco.file import open_coco
from vclr.coco.predictions import PredictionsFile
from vclr.object_proposals.proposals_file import write_proposals_file
from vclr.object_proposals.sources import as_entry, info_of, open_source, plain_images
from vclr.progress import track


def import_proposals(
    results: Path,
    annotations: Path,
    output: Path,
    top_k: int,
    min_score: float | None = None,
    origin: str = "",
    license: str = "",  # noqa: A002
    quiet: bool = False,
) -> str:
    """Write the best predictions of a file as proposals for the images of a data set.

    Args:
        results: a list of COCO results with the image ids of `annotations`; or a COCO json, whose images are found by
            file name, and of which the annotations with a score count.
        annotations: COCO json that lists the images.
        output: the json to write; it appears whole or not at all.
        top_k: the most proposals per image.
        min_score: proposals with a lower score are left out; None for none.
        origin: what made the results, for the json's `info`.
        license: their terms, for the json's `info`.
        quiet: show no progress.

    Returns:
        The numbers of images and proposals, in words.

    Raises:
        UserError: a file is not valid, or they have no image in common.
    """
    listed = open_coco(annotations)
    listed.check_images()
    images = plain_images(listed.images)
    count = 0
    with open_source(results, images, annotations) as source:
        about = info_of(source)
        info = {"method": "import", "source": origin or str(about["file"]), "top_k": top_k, "min_score": min_score}
        info |= {"license": license} if license else {}

        def counted() -> Iterator[Json]:
            nonlocal count
            for entry in _best(source, images, top_k, min_score, quiet):
                count += 1
                yield entry

        write_proposals_file(output, {"info": {**info, "from": about}, "images": images}, counted())
    return f"{output}: {count} proposals for {len(source.entries)} of {len(images)} images"


def _best(
    source: PredictionsFile, images: list[Json], top_k: int, min_score: float | None, quiet: bool
) -> Iterator[Json]:
    for image in track(images, "importing", quiet):
        found = [one for one in source.of_image(image["id"]) if min_score is None or one.score >= min_score]
        for one in sorted(found, key=lambda one: -one.score)[:top_k]:
            yield as_entry(one, (image["height"], image["width"]), one.score)
