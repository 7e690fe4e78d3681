"""Class lists of the data sets: which classes are PASCAL VOC's, COCO's and the toy world's, and COCO's in other sets.

Facts of the data sets, by name. What a split does with them stands in `splits`, how they are found in a json in
`class_matching`.
"""

from __future__ import annotations

VOC_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "boat", "bird", "cat",
    "dog", "horse", "sheep", "cow", "bottle", "chair", "couch", "potted plant", "dining table", "tv",
)  # fmt: skip
TOY_KNOWN_CLASSES = ("disk", "square", "triangle", "ellipse", "star", "cross")

# --- LVIS ------------------------------------------------------------------------------------------------------------

# COCO's 80 classes in the order of its json, each with the WordNet synset under which LVIS has it: the pairs of
# coco_to_synset.json of the LVIS API. Some are not what one would guess: a cow is `beef.n.01`.
COCO_SYNSETS = {
    "person": "person.n.01",
    "bicycle": "bicycle.n.01",
    "car": "car.n.01",
    "motorcycle": "motorcycle.n.01",
    "airplane": "airplane.n.01",
    "bus": "bus.n.01",
    "train": "train.n.01",
    "truck": "truck.n.01",
    "boat": "boat.n.01",
    "traffic light": "traffic_light.n.01",
    "fire hydrant": "fireplug.n.01",
    "stop sign": "stop_sign.n.01",
    "parking meter": "parking_meter.n.01",
    "bench": "bench.n.01",
    "bird": "bird.n.01",
    "cat": "cat.n.01",
    "dog": "dog.n.01",
    "horse": "horse.n.01",
    "sheep": "sheep.n.01",
    "cow": "beef.n.01",
    "elephant": "elephant.n.01",
    "bear": "bear.n.01",
    "zebra": "zebra.n.01",
    "giraffe": "giraffe.n.01",
    "backpack": "backpack.n.01",
    "umbrella": "umbrella.n.01",
    "handbag": "bag.n.04",
    "tie": "necktie.n.01",
    "suitcase": "bag.n.06",
    "frisbee": "frisbee.n.01",
    "skis": "ski.n.01",
    "snowboard": "snowboard.n.01",
    "sports ball": "ball.n.06",
    "kite": "kite.n.03",
    "baseball bat": "baseball_bat.n.01",
    "baseball glove": "baseball_glove.n.01",
    "skateboard": "skateboard.n.01",
    "surfboard": "surfboard.n.01",
    "tennis racket": "tennis_racket.n.01",
    "bottle": "bottle.n.01",
    "wine glass": "wineglass.n.01",
    "cup": "cup.n.01",
    "fork": "fork.n.01",
    "knife": "knife.n.01",
    "spoon": "spoon.n.01",
    "bowl": "bowl.n.03",
    "banana": "banana.n.02",
    "apple": "apple.n.01",
    "sandwich": "sandwich.n.01",
    "orange": "orange.n.01",
    "broccoli": "broccoli.n.01",
    "carrot": "carrot.n.01",
    "hot dog": "frank.n.02",
    "pizza": "pizza.n.01",
    "donut": "doughnut.n.02",
    "cake": "cake.n.03",
    "chair": "chair.n.01",
    "couch": "sofa.n.01",
    "potted plant": "pot.n.04",
    "bed": "bed.n.01",
    "dining table": "dining_table.n.01",
    "toilet": "toilet.n.02",
    "tv": "television_receiver.n.01",
    "laptop": "laptop.n.01",
    "mouse": "mouse.n.04",
    "remote": "remote_control.n.01",
    "keyboard": "computer_keyboard.n.01",
    "cell phone": "cellular_telephone.n.01",
    "microwave": "microwave.n.02",
    "oven": "oven.n.01",
    "toaster": "toaster.n.02",
    "sink": "sink.n.01",
    "refrigerator": "electric_refrigerator.n.01",
    "book": "book.n.01",
    "clock": "clock.n.01",
    "vase": "vase.n.01",
    "scissors": "scissors.n.01",
    "teddy bear": "teddy.n.01",
    "hair drier": "hand_blower.n.01",
    "toothbrush": "toothbrush.n.01",
}
COCO_CLASSES = tuple(COCO_SYNSETS)

# Classes of COCO that a release of LVIS has no category for: v1 has no hot dog, v0.5 has neither.
NOT_IN_LVIS = ("hot dog", "oven")

# --- Objects365 ------------------------------------------------------------------------------------------------------

# What Objects365 v2 calls a class of COCO, where that is not COCO's own name in other capitals. Official files misspell
# two of them, corrected copies of their lists do not: both spellings stand here.
OBJECTS365_NAMES = {
    "bird": ("Wild Bird",),
    "handbag": ("Handbag/Satchel",),
    "suitcase": ("Luggage",),
    "skis": ("Skiboard",),
    "sports ball": ("Other Balls",),
    "bowl": ("Bowl/Basin",),
    "orange": ("Orange/Tangerine",),
    "dining table": ("Dining Table", "Dinning Table"),
    "tv": ("Monitor/TV", "Moniter/TV"),
    "teddy bear": ("Stuffed Toy",),
    "hair drier": ("Hair Dryer",),
}

# Finer classes of Objects365 whose objects COCO's annotators label with a class of theirs, so that a detector trained
# on COCO has seen them as known.
OBJECTS365_KINDS = {
    "car": ("SUV", "Sports Car", "Formula 1"),  # cars by every definition
    "truck": ("Van", "Pickup Truck", "Heavy Truck", "Fire Truck", "Ambulance"),  # COCO has vans as trucks or cars
    "boat": ("Sailboat", "Ship"),  # COCO's boats are of any size
    "bird": ("Duck", "Goose", "Swan", "Pigeon", "Parrot", "Penguin", "Chicken"),  # a living chicken, not a meal
    "tie": ("Bow Tie",),
    "sports ball": (
        "Soccer", "Basketball", "Volleyball", "Baseball", "American Football", "Tennis", "Golf Ball", "Billiards",
        "Billards", "Table Tennis",
    ),  # the ball that each is played with; rackets and cues are classes of their own
    "chair": ("Wheelchair",),
    "sandwich": ("Hamburger",),  # COCO has no other class for what lies between two halves of a bun
    "toilet": ("Urinal",),  # COCO's annotators draw urinals as toilets
}  # fmt: skip

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
