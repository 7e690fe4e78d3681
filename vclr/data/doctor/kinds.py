"""The kinds of problems of a data set: how bad each is, and how training and evaluation treat it."""

from __future__ import annotations

from dataclasses import dataclass

from vclr.catalog.views import PHOTO, SKIP
from vclr.finding import ERROR, OK, WARNING, Finding

REFUSED = "refused before anything starts"
STOPS = "stops training when it is read", "stops evaluation when it is read"
AS_A_CROWD = "harmless, because it is a crowd"
AS_IT_IS = "box and mask are used as they are"
NEVER_FOUND = "evaluated as an object that cannot be found"


@dataclass(frozen=True)
class Use:
    """The use of a data set.

    Attributes:
        trains: it is used for training.
        evaluates: it is used for evaluation.
        keeps_empty_train: training keeps images without objects (`dataloader.train.dataset.filter_empty=False`).
        keeps_empty_test: evaluation keeps images without objects (`dataloader.test.dataset.filter_empty=False`).
        has_proposals: object proposals of another file join in training (`data.train.proposals`).
    """

    trains: bool = True
    evaluates: bool = True
    keeps_empty_train: bool = False
    keeps_empty_test: bool = False
    has_proposals: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        level: one of `vclr.finding.LEVELS`.
        topic: the name of the kind.
        training: the consequence for training; empty if there is none.
        evaluation: the consequence for evaluation; empty if there is none.
        fix: how to fix it, if that is not obvious.
    """

    level: str
    topic: str
    training: str
    evaluation: str
    fix: str = ""

    def found(self, use: Use, says: str) -> list[Finding]:
        """Return the finding for one occurrence; none if it has no consequence for this use."""
        fates = [self.training] * use.trains + [self.evaluation] * use.evaluates
        fates = [fate for fate in dict.fromkeys(fates) if fate]
        return [Finding(self.level, self.topic, "; ".join([says, *fates]), self.fix)] if fates else []

    def of_crowd(self) -> Kind:
        """Return the kind for the same problem of a crowd."""
        return Kind(OK, self.topic, AS_A_CROWD * bool(self.training), AS_A_CROWD * bool(self.evaluation))


# --- files --------------------------------------------------------------------------------------------------------

MISSING_FILE = Kind(ERROR, "missing file", REFUSED, REFUSED)
MISSING_TEST_FILE = Kind(
    WARNING, "missing file", "", "refused by `vclr evaluate`", "data.test.annotations=FILE data.test.images=DIR"
)
UNREADABLE_JSON = Kind(ERROR, "json", REFUSED, REFUSED)
NO_OBJECT = Kind(ERROR, "no object", REFUSED, REFUSED)

# --- images ----------------------------------------------------------------------------------------------------------

MISSING_IMAGE = Kind(
    ERROR, "missing image", REFUSED, REFUSED, "add the file, or remove its entry and annotations from the json"
)
OTHER_NAME = Kind(
    ERROR, "name of an image", REFUSED, REFUSED, "write the name in the json as on disk, or rename the file"
)
UNREADABLE_IMAGE = Kind(
    ERROR, "unreadable image", *STOPS, "get the file again, or remove its entry and annotations from the json"
)
OTHER_SIZE = Kind(
    ERROR,
    "size of an image",
    *STOPS,
    "boxes and masks are in pixels of the size in the json: use photos and annotations of the same size",
)
SAME_FILE = Kind(
    WARNING, "same file twice", "trained on as two images", "evaluated as two images", "merge the entries into one"
)
OTHER_BYTES = Kind(
    WARNING,
    "photos in several folders",
    "the first folder's are trained on",
    "the first folder's are evaluated",
    "name the folder with the right photos first, or give the files other names",
)
SAME_STEM = Kind(
    WARNING,
    "same stem",
    "refused by `vclr views`, because their views would share a file name",
    "",
    "rename one of the photos",
)
SAME_STEM_WITH_VIEWS = Kind(
    ERROR, "same stem", "both are trained with the same view files", "", "rename one of the photos and its views"
)
EMPTY_IMAGE = Kind(WARNING, "image without object", "left out", "left out")
PROPOSED_IMAGE = Kind(OK, "image without object", "trained on if it has a proposal", "")
KEPT_EMPTY_IMAGE = Kind(
    OK,
    "image without object",
    "trained on as background (dataloader.train.dataset.filter_empty=False)",
    "evaluated: every detection counts as wrong (dataloader.test.dataset.filter_empty=False)",
)

SEEN_PHOTOS = Kind(WARNING, "photos in both sets", "", "the evaluation includes photos of the training")

# --- annotations -----------------------------------------------------------------------------------------------------

DUPLICATE = Kind(
    WARNING,
    "annotated twice",
    "both are trained on",
    "both are evaluated, and one detection finds only one of them",
    "remove one of them",
)
BELOW_PIXEL = Kind(WARNING, "box below a pixel", AS_IT_IS, AS_IT_IS)
OUTSIDE = Kind(WARNING, "box outside the image", "dropped from training", NEVER_FOUND)
PARTLY_OUTSIDE = Kind(
    WARNING, "box partly outside the image", "cut at the border in training", "evaluated as it is, uncut"
)
EMPTY_RLE = Kind(WARNING, "empty mask", "dropped from training", "evaluated as a mask that cannot be found")
EMPTY_POLYGON = Kind(
    WARNING,
    "empty mask",
    "trained on with its box, and an empty mask if it is still too thin after resizing",
    "evaluated as a mask that cannot be found",
)
BOX_OFF = Kind(WARNING, "box off its mask", AS_IT_IS, AS_IT_IS)
AREA_OFF = Kind(WARNING, "area off its mask", "", "evaluation uses `area`")
AREA_ZERO = Kind(WARNING, "area of zero", "", "evaluated as a small object")
AREA_NEGATIVE = Kind(WARNING, "negative area", "", "left out of evaluation: neither found nor missed")

OTHER_LAYOUT = Kind(WARNING, "form of the boxes", AS_IT_IS, AS_IT_IS, "COCO uses [x, y, width, height]")
PERCENTAGES = Kind(WARNING, "units", AS_IT_IS, AS_IT_IS, "COCO uses pixels")

BRUSH_CROWD = Kind(
    WARNING, "habit of a tool", "left out of training, because they are crowds", "detections on them are ignored"
)

# --- views -----------------------------------------------------------------------------------------------------------

NO_VIEW = Kind(ERROR, "unknown view", REFUSED, "")
PHOTOS_ONLY = Kind(WARNING, "no view", "trained like this", "")
NO_VIEW_FOLDER = Kind(ERROR, "missing view", REFUSED, "")
MISSING_VIEW = Kind(
    ERROR, "missing view", REFUSED, "", "name the file like the photo, with any image suffix (.png, .jpg, .tif ...)"
)
MISSING_VIEW_ALLOWED = {
    SKIP: Kind(WARNING, "missing view", f"the view is not drawn for this photo (views.missing={SKIP})", ""),
    PHOTO: Kind(WARNING, "missing view", f"the photo stands in (views.missing={PHOTO})", ""),
}
NO_VIEW_LEFT = Kind(ERROR, "missing view", REFUSED, "")
UNREADABLE_VIEW = Kind(ERROR, "unreadable view", STOPS[0], "", "render it again")
OTHER_VIEW_SIZE = Kind(ERROR, "size of a view", STOPS[0], "", "render it again at the photo's size")

# --- classes ---------------------------------------------------------------------------------------------------------

UNKNOWN_CLASS = Kind(ERROR, "class of a group", "", REFUSED)
CLASS_IN_NO_GROUP = Kind(WARNING, "class in no group", "", "its objects are in no group of the evaluation")
SAME_CLASS_NAME = Kind(
    WARNING, "class name twice", "in a split, the name selects all of them", "in a group, the name selects all of them"
)
SIMILAR_CLASS_NAME = Kind(WARNING, "class name twice", "two classes in a split", "two classes in a group")
SEVERAL_CLASSES = Kind(OK, "classes", "trained on as one class", "")

# --- proposals -------------------------------------------------------------------------------------------------------

TWICE = Kind(
    ERROR, "proposals twice", REFUSED, "", "leave data.train.proposals out, or remove `score` from what is no proposal"
)
NO_SCORE = Kind(ERROR, "proposal without score", REFUSED, "")
NO_COMMON_PHOTO = Kind(
    ERROR, "proposals of other photos", REFUSED, "", "the file names must be those of the annotations"
)
UNKNOWN_PHOTO = Kind(WARNING, "proposals of other photos", "ignored in training", "")
OTHER_PROPOSAL_SIZE = Kind(ERROR, "size of proposals", REFUSED, "", "make the proposals again with `vclr proposals`")
