"""Object proposals of another program: COCO results of any detector, and the published files of CutLER and v-CLR."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vclr.coco.annotations import Json
from vclr.coco.file import open_coco
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
    count = num_low = 0
    with open_source(results, images, annotations) as source:
        about = info_of(source)
        info = {"method": "import", "source": origin or str(about["file"]), "top_k": top_k, "min_score": min_score}
        info |= {"license": license} if license else {}

        def counted() -> Iterator[Json]:
            nonlocal count, num_low
            for image in track(images, "importing", quiet):
                found = source.of_image(image["id"])
                kept = [one for one in found if min_score is None or one.score >= min_score]
                num_low += len(found) - len(kept)
                for one in sorted(kept, key=lambda one: -one.score)[:top_k]:
                    count += 1
                    yield as_entry(one, (image["height"], image["width"]), one.score)

        write_proposals_file(output, {"info": {**info, "from": about}, "images": images}, counted())
    low = f"; {num_low} below the minimum score of {min_score:g} left out" if num_low else ""
    return f"{output}: {count} proposals for {len(source.entries)} of {len(images)} images{low}"
