"""What can be wrong with a data set: how bad each kind is, and what a training and an evaluation make of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vclr.finding import ERROR, OK, WARNING, Finding

REFUSED = "refused before anything starts"
STOPS_TRAINING, STOPS_EVALUATION = "ends a training when it is read", "ends an evaluation when it is read"
AS_A_CROWD = "no matter, as it is a crowd"
AS_IT_IS = "box and mask are used as they are"
NEVER_FOUND = "evaluated as an object that cannot be found"


@dataclass(frozen=True)
class Use:
    """What is done with a data set.

    Attributes:
        trains: a training reads it.
        evaluates: an evaluation reads it.
        keeps_empty_train: not `dataloader.train.dataset.filter_empty`: training keeps images without an object.
        keeps_empty_test: not `dataloader.test.dataset.filter_empty`: so does evaluation.
    """

    trains: bool = True
    evaluates: bool = True
    keeps_empty_train: bool = False
    keeps_empty_test: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        level: of `vclr.finding`.
        topic: its name.
        training: what becomes of the thing in training; empty where that does not mind.
        evaluation: the same of evaluation.
        fix: how to mend it, where that is not plain.
    """

    level: str
    topic: str
    training: str
    evaluation: str
    fix: str = ""

    def found(self, use: Use, says: str) -> list[Finding]:
        """Return what there is to say of one such thing: nothing where neither use minds."""
        fates = [self.training] * use.trains + [self.evaluation] * use.evaluates
        fates = [fate for fate in dict.fromkeys(fates) if fate]
        return [Finding(self.level, self.topic, "; ".join([says, *fates]), self.fix)] if fates else []

    def of_crowd(self) -> Kind:
        """Return what the same means for a crowd."""
        return replace(
            self,
            level=OK,
            training=AS_A_CROWD * bool(self.training),
            evaluation=AS_A_CROWD * bool(self.evaluation),
            fix="",
        )


# --- files --------------------------------------------------------------------------------------------------------

MISSING_FILE = Kind(ERROR, "missing file", REFUSED, REFUSED)
MISSING_TEST_FILE = Kind(
    WARNING, "missing file", "", "`vclr evaluate` refuses that", "data.test.annotations=FILE data.test.images=DIR"
)
UNREADABLE_JSON = Kind(ERROR, "json", REFUSED, REFUSED)
NO_OBJECT = Kind(ERROR, "no object", REFUSED, REFUSED)

# --- images ----------------------------------------------------------------------------------------------------------

MISSING_IMAGE = Kind(
    ERROR, "missing image", REFUSED, REFUSED, "put the file there, or take its entry and annotations out of the json"
)
OTHER_NAME = Kind(
    ERROR, "name of an image", REFUSED, REFUSED, "write the name into the json as the file has it, or rename the file"
)
UNREADABLE_IMAGE = Kind(
    ERROR,
    "unreadable image",
    STOPS_TRAINING,
    STOPS_EVALUATION,
    "get the file again, or take its entry and annotations out of the json",
)
OTHER_SIZE = Kind(
    ERROR,
    "size of an image",
    STOPS_TRAINING,
    STOPS_EVALUATION,
    "boxes and masks count in the pixels of the entry: bring photo and annotations of one size together",
)
SAME_FILE = Kind(
    WARNING,
    "same file twice",
    "trained on as two images",
    "evaluated as two images",
    "give it one entry",
)
OTHER_BYTES = Kind(
    WARNING,
    "photos in several folders",
    "the first folder's are trained on",
    "the first folder's are evaluated",
    "name the folder with the right photos first, or give the files other names",
)
SAME_STEM = Kind(
    WARNING, "same stem", "views as files would be mixed up: `vclr views` refuses them", "", "rename one of the photos"
)
SAME_STEM_WITH_VIEWS = Kind(
    ERROR, "same stem", "both are trained with the views of one of them", "", "rename one of the photos and its views"
)
EMPTY_IMAGE = Kind(WARNING, "image without object", "left out", "left out")
KEPT_EMPTY_IMAGE = Kind(
    OK,
    "image without object",
    "trained on as background (dataloader.train.dataset.filter_empty=False)",
    "evaluated: what is found there is wrong (dataloader.test.dataset.filter_empty=False)",
)

SEEN_PHOTOS = Kind(WARNING, "photos in both sets", "", "evaluated on what was trained on")

# --- annotations -----------------------------------------------------------------------------------------------------

DUPLICATE = Kind(
    WARNING,
    "annotated twice",
    "both are trained on",
    "both are evaluated, and one detection finds only one of them",
    "take one out",
)
NO_SIZE = Kind(WARNING, "box without size", "dropped from training", NEVER_FOUND)
BELOW_PIXEL = Kind(WARNING, "box below a pixel", AS_IT_IS, AS_IT_IS)
OUTSIDE = Kind(WARNING, "box outside the image", "dropped from training", NEVER_FOUND)
PARTLY_OUTSIDE = Kind(
    WARNING, "box partly outside the image", "cut at the border in training", "evaluated as it is, uncut"
)
EMPTY_RLE = Kind(WARNING, "empty mask", "dropped from training", "evaluated as a mask that cannot be found")
EMPTY_POLYGON = Kind(
    WARNING,
    "empty mask",
    "trained on with its box and no pixel where it stays that thin",
    "evaluated as a mask that cannot be found",
)
BOX_OFF = Kind(WARNING, "box off its mask", AS_IT_IS, AS_IT_IS)
AREA_OFF = Kind(WARNING, "area off its mask", "", "evaluation goes by `area`")
AREA_ZERO = Kind(WARNING, "area of zero", "", "evaluated as a small object")
AREA_NEGATIVE = Kind(WARNING, "negative area", "", "left out of evaluation: neither found nor missed")

OTHER_LAYOUT = Kind(WARNING, "form of the boxes", AS_IT_IS, AS_IT_IS, "COCO writes [x, y, width, height]")
PERCENTAGES = Kind(WARNING, "units", AS_IT_IS, AS_IT_IS, "COCO counts in pixels")

# --- views -----------------------------------------------------------------------------------------------------------

NO_VIEW = Kind(ERROR, "unknown view", REFUSED, "")
NO_VIEW_FOLDER = Kind(ERROR, "missing view", REFUSED, "")
MISSING_VIEW = Kind(
    ERROR,
    "missing view",
    REFUSED,
    "",
    "its file has the photo's stem and an image's suffix (.png, .jpg, .tif ...)",
)
UNREADABLE_VIEW = Kind(ERROR, "unreadable view", STOPS_TRAINING, "", "render it again")
OTHER_VIEW_SIZE = Kind(ERROR, "size of a view", STOPS_TRAINING, "", "render it again at the photo's size")

# --- classes ---------------------------------------------------------------------------------------------------------

UNKNOWN_CLASS = Kind(ERROR, "class of a group", "", REFUSED)
CLASS_IN_NO_GROUP = Kind(WARNING, "class in no group", "", "its objects count in no group of the evaluation")
SAME_CLASS_NAME = Kind(
    WARNING, "class name twice", "in a split the name means all of them", "in a group the name means all of them"
)
SIMILAR_CLASS_NAME = Kind(WARNING, "class name twice", "two classes in a split", "two classes in a group")
SEVERAL_CLASSES = Kind(OK, "classes", "trained on as one class", "")

# --- proposals -------------------------------------------------------------------------------------------------------

NO_SCORE = Kind(ERROR, "proposal without score", REFUSED, "")
NO_COMMON_PHOTO = Kind(
    ERROR, "proposals of other photos", REFUSED, "", "the names of the photos must be those of the annotations"
)
UNKNOWN_PHOTO = Kind(WARNING, "proposals of other photos", "ignored in training", "")
OTHER_PROPOSAL_SIZE = Kind(ERROR, "size of proposals", REFUSED, "", "make the proposals again: vclr proposals")
