"""Lists of classes by name: those of PASCAL VOC, of COCO, of COCO without VOC, and of the toy scenes.

`evaluation.groups` may name a list instead of spelling it: `{known: voc, novel: nonvoc}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vclr.errors import UsageError, nearest

ALL = "all"  # the group of a test set that is evaluated as a whole
KNOWN, NOVEL = "known", "novel"  # the groups that most experiments evaluate
VOC_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "boat", "bird", "cat",
    "dog", "horse", "sheep", "cow", "bottle", "chair", "couch", "potted plant", "dining table", "tv",
)  # fmt: skip
TOY_KNOWN_CLASSES = ("disk", "square", "triangle", "ellipse", "star", "cross")
TOY_NOVEL_CLASSES = ("ring", "crescent", "heart", "arrow", "hourglass", "corner")

# COCO's 80 classes in the order of its json, each with the WordNet synset of its category in LVIS: the pairs of
# coco_to_synset.json of the LVIS API. Some are surprising: a cow is `beef.n.01`.
COCO_SYNSETS = {
    "person": "person.n.01", "bicycle": "bicycle.n.01", "car": "car.n.01", "motorcycle": "motorcycle.n.01",
    "airplane": "airplane.n.01", "bus": "bus.n.01", "train": "train.n.01", "truck": "truck.n.01", "boat": "boat.n.01",
    "traffic light": "traffic_light.n.01", "fire hydrant": "fireplug.n.01", "stop sign": "stop_sign.n.01",
    "parking meter": "parking_meter.n.01", "bench": "bench.n.01", "bird": "bird.n.01", "cat": "cat.n.01",
    "dog": "dog.n.01", "horse": "horse.n.01", "sheep": "sheep.n.01", "cow": "beef.n.01", "elephant": "elephant.n.01",
    "bear": "bear.n.01", "zebra": "zebra.n.01", "giraffe": "giraffe.n.01", "backpack": "backpack.n.01",
    "umbrella": "umbrella.n.01", "handbag": "bag.n.04", "tie": "necktie.n.01", "suitcase": "bag.n.06",
    "frisbee": "frisbee.n.01", "skis": "ski.n.01", "snowboard": "snowboard.n.01", "sports ball": "ball.n.06",
    "kite": "kite.n.03", "baseball bat": "baseball_bat.n.01", "baseball glove": "baseball_glove.n.01",
    "skateboard": "skateboard.n.01", "surfboard": "surfboard.n.01", "tennis racket": "tennis_racket.n.01",
    "bottle": "bottle.n.01", "wine glass": "wineglass.n.01", "cup": "cup.n.01", "fork": "fork.n.01",
    "knife": "knife.n.01", "spoon": "spoon.n.01", "bowl": "bowl.n.03", "banana": "banana.n.02", "apple": "apple.n.01",
    "sandwich": "sandwich.n.01", "orange": "orange.n.01", "broccoli": "broccoli.n.01", "carrot": "carrot.n.01",
    "hot dog": "frank.n.02", "pizza": "pizza.n.01", "donut": "doughnut.n.02", "cake": "cake.n.03",
    "chair": "chair.n.01", "couch": "sofa.n.01", "potted plant": "pot.n.04", "bed": "bed.n.01",
    "dining table": "dining_table.n.01", "toilet": "toilet.n.02", "tv": "television_receiver.n.01",
    "laptop": "laptop.n.01", "mouse": "mouse.n.04", "remote": "remote_control.n.01",
    "keyboard": "computer_keyboard.n.01", "cell phone": "cellular_telephone.n.01", "microwave": "microwave.n.02",
    "oven": "oven.n.01", "toaster": "toaster.n.02", "sink": "sink.n.01", "refrigerator": "electric_refrigerator.n.01",
    "book": "book.n.01", "clock": "clock.n.01", "vase": "vase.n.01", "scissors": "scissors.n.01",
    "teddy bear": "teddy.n.01", "hair drier": "hand_blower.n.01", "toothbrush": "toothbrush.n.01",
}  # fmt: skip
COCO_CLASSES = tuple(COCO_SYNSETS)

CLASS_LISTS: dict[str, tuple[str, ...]] = {
    "voc": VOC_CLASSES,
    "nonvoc": tuple(name for name in COCO_CLASSES if name not in VOC_CLASSES),
    "coco": COCO_CLASSES,
    "toy_known": TOY_KNOWN_CLASSES,
    "toy_novel": TOY_NOVEL_CLASSES,
}


def resolve_groups(groups: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the class names of each group of `evaluation.groups`, which lists them or names one of `CLASS_LISTS`.

    Raises:
        UsageError: a list is unknown (the error names the nearest), or a group is neither a name nor a list of names.
    """
    return {group: _resolve(group, classes) for group, classes in groups.items()}


def _resolve(group: str, classes: Any) -> list[str]:
    if isinstance(classes, str) and classes in CLASS_LISTS:
        return list(CLASS_LISTS[classes])
    key = f"evaluation.groups.{group}"
    if isinstance(classes, str):
        near = nearest(classes, CLASS_LISTS)
        raise UsageError(f"{key}={classes}: unknown list of classes; nearest: {near}; for one class write [{classes}]")
    if not isinstance(classes, list) or not all(isinstance(name, str | int | float) for name in classes):
        raise UsageError(f"{key}: must be a list of class names, or one of {', '.join(CLASS_LISTS)}")
    return [str(name) for name in classes]


def target_of(groups: Iterable[str]) -> str:
    """Return the group that comparisons are about: the novel classes if they were evaluated apart, else the first."""
    names = list(groups)
    return NOVEL if NOVEL in names else names[0]
