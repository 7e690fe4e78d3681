"""The 365 classes of Objects365 v2 in their order, as its files spell them."""

from pathlib import Path

OBJECTS365 = Path(__file__).with_name("objects365_classes.txt").read_text(encoding="utf-8").splitlines()

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
# Under which synset LVIS has the classes of the two lists above, where it does. LVIS counts by synset alone: a category
# is known if its synset is one of COCO_SYNSETS, so each of these is novel there.
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
