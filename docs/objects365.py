"""The table of docs/data.md that says, class by class, which classes of Objects365 count as COCO's."""

from __future__ import annotations

from vclr.catalog.classes import COCO_CLASSES
from vclr.splits.class_matching import OBJECTS365_KINDS, OBJECTS365_NAMES, Kinds

# Classes of Objects365 that one might take for known, since they are like a class of COCO; they count as novel: COCO's
# annotators leave most of them out, or label them now this way and now that.
OBJECTS365_NOVEL = {
    "dining table": ("Desk", "Coffee Table", "Side Table", "Nightstand"),
    "chair": ("Stool",),
    "motorcycle": ("Scooter", "Tricycle"),
    "suitcase": ("Briefcase",),
    "handbag": ("Wallet/Purse",),
    "truck": ("Machinery Vehicle", "Crane"),
    "oven": ("Gas stove",),
    "laptop": ("Tablet",),
    "cell phone": ("Telephone",),
    "orange": ("Grapefruit", "Lemon"),
    "horse": ("Donkey",),
    "cow": ("Yak",),
    "tennis racket": ("Table Teniis paddle",),
    "car": ("Rickshaw",),
}
# Under which synset LVIS has these classes and those of OBJECTS365_KINDS, if it has them. LVIS counts by synset alone:
# a category is known if its synset is one of COCO_SYNSETS, so each of these is novel there.
SYNSETS_OF_JUDGED = {
    "Sports Car": "racer.n.02",
    "Van": "minivan.n.01",
    "Pickup Truck": "pickup.n.01",
    "Heavy Truck": "trailer_truck.n.01",
    "Fire Truck": "fire_engine.n.01",
    "Ambulance": "ambulance.n.01",
    "Ship": "cargo_ship.n.01",
    "Duck": "duck.n.01",
    "Goose": "goose.n.01",
    "Pigeon": "pigeon.n.01",
    "Parrot": "parrot.n.01",
    "Penguin": "penguin.n.01",
    "Chicken": "chicken.n.02",
    "Bow Tie": "bow_tie.n.01",
    "Soccer": "soccer_ball.n.01",
    "Basketball": "basketball.n.02",
    "Volleyball": "volleyball.n.02",
    "Baseball": "baseball.n.02",
    "American Football": "football.n.02",
    "Tennis": "tennis_ball.n.01",
    "Table Tennis": "ping-pong_ball.n.01",
    "Wheelchair": "wheelchair.n.01",
    "Hamburger": "hamburger.n.01",
    "Urinal": "urinal.n.01",
    "Desk": "desk.n.01",
    "Coffee Table": "coffee_table.n.01",
    "Stool": "stool.n.01",
    "Scooter": "motor_scooter.n.01",
    "Briefcase": "briefcase.n.01",
    "Wallet/Purse": "wallet.n.01",
    "Gas stove": "stove.n.01",
    "Telephone": "telephone.n.01",
    "Tricycle": "tricycle.n.01",
    "Yak": "yak.n.02",
    "Lemon": "lemon.n.01",
}


def known_classes() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the table: one row per class of COCO."""
    head = (
        "class of COCO",
        "its name in Objects365",
        "known as well",
        "because",
        "novel, though alike",
        "novel in LVIS",
    )
    return head, [_row(name) for name in COCO_CLASSES]


def _row(name: str) -> tuple[str, ...]:
    kinds, novel = OBJECTS365_KINDS.get(name, Kinds(())), OBJECTS365_NOVEL.get(name, ())
    called = " or ".join(OBJECTS365_NAMES.get(name, ("the same",)))
    synsets = [SYNSETS_OF_JUDGED[one] for one in (*kinds.names, *novel) if one in SYNSETS_OF_JUDGED]
    return name, called, ", ".join(kinds.names), kinds.because, ", ".join(novel), ", ".join(synsets)
