"""Read annotated videos (UVO, in the format of YouTube-VIS) as annotated frames in COCO's format.

Each of `videos` has `file_names`, one per frame, and one size. Each of `annotations` is an object throughout a video,
with the lists `segmentations`, `bboxes` and `areas`: one entry per frame, None if the object is not visible.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from pycocotools import mask as coco_mask

from vclr.coco.annotations import to_rle
from vclr.coco.checks import CocoChecks, Json, check_segmentation
from vclr.coco.file import CocoFile
from vclr.errors import UserError

# Lists of an annotation with one entry per frame.
FRAME_LISTS = ("segmentations", "bboxes", "areas")


class VideoFile(CocoFile):
    """A json of annotated videos, whose frames become the images.

    Frames are numbered from 1 in the order of the videos, and annotations from 1, track by track. The origin of an
    image is kept in `video_id` and `frame`, that of an annotation in `track_id`.

    Raises:
        UserError: a video does not have the format above.
    """

    can_be_repaired = False  # a split of them is a clean file

    def __init__(self, source: CocoFile) -> None:
        """Wrap a json that `open_annotations` opened."""
        head = dict(source.head)
        self._videos: dict[Any, tuple[int, Json]] = {}  # id -> (id of its first frame, video)
        images: list[Json] = []
        for position, video in enumerate(head.pop("videos")):
            entry = f"{source.path}: videos[{position}]"
            if not isinstance(video, dict) or not {"id", "file_names", "height", "width"} <= video.keys():
                raise UserError(f"{entry}: needs `id`, `file_names`, `height` and `width`")
            if video["id"] in self._videos or not isinstance(video["file_names"], list):
                raise UserError(f"{entry}: id {video['id']!r} occurs twice, or its `file_names` is not a list")
            self._videos[video["id"]] = len(images) + 1, video
            size = {"height": video["height"], "width": video["width"]}
            for frame, name in enumerate(video["file_names"]):
                place = {"video_id": video["id"], "frame": frame}
                images.append({"id": len(images) + 1, "file_name": name, **size, **place})
        super().__init__(source.path, {"images": images, **head}, source.annotations)

    def read_annotations(self, kept: Iterable[int] | None = None) -> Iterator[Any]:
        """Yield the annotations of the frames; `kept` has one number for each."""
        flat = (
            annotation
            for position, track in enumerate(super().read_annotations())
            for annotation in self._flatten(position, track)
        )
        numbered = ({"id": number, **annotation} for number, annotation in enumerate(flat, start=1))
        return numbered if kept is None else itertools.compress(numbered, kept)

    def check_images(self) -> CocoChecks:
        """Check the frames; errors name their entries in the converted json."""
        path, self.path = self.path, self.path.with_name(f"{self.path.name} as frames")
        try:
            return super().check_images()
        finally:
            self.path = path

    def _flatten(self, position: int, track: Any) -> Iterator[Json]:
        """Yield the object's annotation in each frame in which it is visible."""
        entry = f"{self.path}: annotations[{position}]"
        if not isinstance(track, dict) or not {"id", "video_id", "category_id", "bboxes"} <= track.keys():
            raise UserError(f"{entry}: needs `id`, `video_id`, `category_id` and `bboxes`")
        if track["video_id"] not in self._videos:
            raise UserError(f"{entry}: video {track['video_id']!r} is not in `videos`")
        first, video = self._videos[track["video_id"]]
        count = len(video["file_names"])
        lists = {key: track.get(key) or [None] * count for key in FRAME_LISTS}
        if any(not isinstance(values, list) or len(values) != count for values in lists.values()):
            raise UserError(f"{entry}: {', '.join(FRAME_LISTS)} must have one entry for each of {count} frames")
        shared = {key: value for key, value in track.items() if key not in (*FRAME_LISTS, "id", "video_id")}
        has_masks = bool(track.get("segmentations"))
        for frame, (segmentation, box, area) in enumerate(zip(*lists.values(), strict=True)):
            if segmentation is None and (has_masks or box is None):
                continue
            if box is None:
                check_segmentation(segmentation, video["height"], video["width"], f"{entry}: segmentations[{frame}]")
                box = coco_mask.toBbox(to_rle(segmentation, video["height"], video["width"])).tolist()
            where = {"image_id": first + frame, "track_id": track["id"], "bbox": box}
            optional = {"segmentation": segmentation, "area": area}
            yield {**shared, **where, **{key: value for key, value in optional.items() if value is not None}}
