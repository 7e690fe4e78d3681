"""Open-world splits: the known or the novel classes of a data set, as a function of the official files.

Classes are selected by name, never by number, so that a file with other ids gives the same split or an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vclr.catalog.data_sets import PUBLISHED_TOP_SPLITS, SPLITS, Split, find_top_split
from vclr.coco.annotations import OBJECT, as_object, open_images
from vclr.coco.checks import CocoChecks, Json
from vclr.coco.file import CocoFile
from vclr.coco.official import open_official
from vclr.coco.unusable import remove_unusable_polygons
from vclr.errors import UsageError, nearest
from vclr.image_folders.open import Images
from vclr.object_proposals.join import BoxTable, ChosenProposals, choose_from_file
from vclr.splits.class_matching import MATCHERS
from vclr.splits.with_proposals import refuse_scored, refuse_second_proposals


def find_split(name: str) -> Split:
    """Return what a split keeps, by its name.

    Raises:
        UsageError: no such split; names the nearest.
    """
    if found := SPLITS.get(name) or find_top_split(name):
        return found
    names = [*SPLITS, *PUBLISHED_TOP_SPLITS]
    raise UsageError(f"unknown split {name!r}; nearest: {nearest(name, names)}; there are {', '.join(names)}")


@dataclass
class MadeSplit:
    """A split of a file, small in memory: the annotations are read from the file again when they are needed.

    Attributes:
        name: of the split.
        split: what it keeps.
        source: the json with all classes.
        category_ids: of the source, those that are kept.
        images: those with at least one object that is not a crowd.
        kept: whether each annotation of the source is usable and of a class that is kept.
        proposals: those that are added.
    """

    name: str
    split: Split
    source: CocoFile
    category_ids: set[int]
    images: list[Json]
    kept: bytearray
    proposals: ChosenProposals | None = None

    @property
    def head(self) -> Json:
        """All of the json but its annotations."""
        return {**self.source.head, "images": self.images, "categories": self.categories}

    @property
    def categories(self) -> list[Json]:
        """The categories of the split's annotations."""
        return [dict(OBJECT)] if self.split.is_one_class else self.source_categories(True)

    def source_categories(self, kept: bool) -> list[Json]:
        """Return the categories of the source that are kept, or those that are left out."""
        return [category for category in self.source.categories if (category["id"] in self.category_ids) == kept]

    def annotations(self) -> Iterator[Json]:
        """Yield the annotations: those of the source in its order, then the proposals image by image."""
        ids = {image["id"] for image in self.images}
        largest = 0
        for annotation in self.source.read_annotations(self.kept):
            if annotation["image_id"] in ids:  # else a crowd, alone in its image
                if isinstance(annotation["id"], int):
                    largest = max(largest, annotation["id"])
                remove_unusable_polygons(annotation)
                yield as_object(annotation) if self.split.is_one_class else annotation
        if self.proposals is not None:
            yield from self.proposals.read(largest + 1)


def make_split(
    name: str, annotations: str | Path, proposals: str | Path | None = None, images: Images | None = None
) -> MadeSplit:
    """Find what a split keeps of a file: annotations by class, and the images with one that is not a crowd.

    Args:
        name: one of `SPLITS`, or `voc_top10`, `coco_top5` and others of the same form: the known annotations of an
            image and its best proposals that overlap none of them, in the images that have known annotations.
        annotations: json with all classes, COCO's or as `vclr.coco.official` reads it.
        proposals: json of proposals, for the splits that add some.
        images: folder, or folders, in which the images that are kept must be.

    Raises:
        UsageError: no such split, or proposals are missing, not wanted or in the annotations already.
        UserError: a file is not what it should be, or lacks a class of the split.
    """
    split = find_split(name)
    if split.top_k and proposals is None:
        raise UsageError(f"{name}: needs --proposals FILE")
    if proposals is not None and not split.top_k:
        raise UsageError(f"{name}: has no proposals; --proposals is for {', '.join(PUBLISHED_TOP_SPLITS)}")
    if proposals is not None:
        refuse_second_proposals(f"--proposals={proposals}", annotations)
    source = open_official(annotations, split.without_folders)
    CocoChecks(annotations, source.categories)
    matched = MATCHERS[split.match](source.categories, split.classes, str(annotations))
    ids = {category["id"] for category in source.categories if (category["id"] in matched) != split.inverted}
    made = MadeSplit(name, split, source, ids, [], bytearray())
    has_object = set()
    checks = source.check_images()
    for position, annotation in enumerate(source.read_annotations()):
        if proposals is not None:
            refuse_scored(f"--proposals={proposals}", annotations, position, annotation)
        is_kept = checks.check_annotation(position, annotation).is_kept and annotation["category_id"] in ids
        made.kept.append(is_kept)
        if is_kept and not annotation.get("iscrowd", 0):
            has_object.add(annotation["image_id"])
    checks.finish(len(made.kept))
    made.images = [image for image in source.images if image["id"] in has_object]
    if images is not None:
        open_images(images, made.images, annotations)
    if proposals is not None:
        known = (boxes for _, boxes, _ in _known_boxes(made).by_owner(len(made.images)))
        made.proposals = choose_from_file(proposals, made.images, known, split.top_k, annotations)
    return made


def _known_boxes(made: MadeSplit) -> BoxTable:
    """Return the boxes of the known annotations without crowds: a crowd region may hold proposals."""
    numbers = {image["id"]: number for number, image in enumerate(made.images)}
    known = BoxTable()
    for annotation in made.annotations():
        if not annotation.get("iscrowd", 0):
            known.add(numbers[annotation["image_id"]], annotation["bbox"])
    return known
