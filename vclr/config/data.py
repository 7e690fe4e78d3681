"""Settings of the roots `data`, `views`, `proposals` and `evaluation`: what is read and what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vclr.catalog.classes import CLASS_LISTS
from vclr.catalog.data_sets import KNOWN, PROTOCOLS, PUBLISHED, REBUILT
from vclr.catalog.metrics import MAX_DETS
from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.catalog.views import COMPUTED_VIEWS, MISSING_VIEWS, NATURAL, PHOTO, REFUSE, SKIP
from vclr.config.setting import section, setting


@dataclass
class DataSetConfig:
    annotations: str = setting("", "COCO json of annotations.")
    images: Any = setting("", "Folder of photos, or its zip; or a list of folders, searched in order.")
    views: dict[str, str] = setting(
        {},
        "View name: folder, or its zip, of files with the photos' stems. Training reads them, and `vclr probe` those "
        "of a test set. Evaluation reads photos only, and warns if a test set has views. An empty folder takes a view "
        "of the catalog or of a YAML file away.",
    )
    proposals: str = setting(
        "",
        "COCO json of object proposals with scores. In training they join the annotations; those of a test set are "
        "what the workflow evaluates for comparison.",
    )

    def __post_init__(self) -> None:
        if isinstance(self.images, int | float):  # a name such as 2017, which YAML takes for a number
            self.images = str(self.images)


@dataclass
class DataConfig:
    root: str = setting(
        "data", "Folder of the catalog's data sets. In the workflow, set `data` of workflow.yaml instead."
    )
    train: DataSetConfig = section(DataSetConfig)
    test: DataSetConfig = section(DataSetConfig, changes="evaluation")


@dataclass
class CorruptConfig:
    mix: bool = setting(True, "Blend the student's image with a patch of itself.")
    erase: bool = setting(True, "Erase a rectangle of the student's image.")
    grayscale: bool = setting(True, "Turn half of the student's groups of images gray (`dataloader.train.group_size`).")


@dataclass
class ViewsConfig:
    weights: dict[str, float] = setting(
        {},
        f"View name: how often it is drawn, relative to the others. A view is `{NATURAL}`, a folder of "
        f"`data.train.views`, or computed by the loader (`{' '.join(COMPUTED_VIEWS)}`). If empty, `{NATURAL}` and "
        "every folder are drawn equally often.",
    )
    teacher_weights: dict[str, float] = setting(
        {},
        f"How often each view is drawn for the teacher, as `views.weights` says for the student. If empty, the teacher "
        f"sees `{NATURAL}` alone.",
        before={},
    )
    seed: int = setting(0, "Seed of computed views, together with the photo's name.", at_least=0)
    missing: str = setting(
        REFUSE,
        f"What happens if photos have no file of a view that is drawn: with `{REFUSE}`, the training is refused before "
        f"it starts; with `{SKIP}`, the view is not drawn for these photos, and their other views share its weight; "
        f"with `{PHOTO}`, the photo itself stands in. The photos and the draws without a file are counted.",
        choices=tuple(MISSING_VIEWS),
        before=REFUSE,
    )
    corrupt: CorruptConfig = section(CorruptConfig)


@dataclass
class ProposalsConfig:
    method: str = setting("graph", "Method of `vclr proposals`.", choices=tuple(PROPOSAL_METHODS))
    top_k: int = setting(10, "Number of proposals per image, the best ones, that join the annotations.", at_least=0)
    max_iou: float = setting(0.5, "IoU with an annotation above which a proposal is dropped.", at_least=0, at_most=1)
    only: bool = setting(
        False,
        "Train on object proposals alone: those of `data.train.proposals`, or else the annotations that have a score. "
        "The other annotations only say which photos are trained on, and which proposals of that file overlap one "
        "(`proposals.max_iou`).",
        before=False,
    )


@dataclass
class EvaluationConfig:
    protocol: str = setting(
        "",
        "What the headline metrics measure: a name of `groups` or `test_sets`, or a protocol of the catalog "
        f"(`{'`, `'.join(PROTOCOLS)}`). `{KNOWN}` is the protocol of the classes that the training set knows.",
    )
    protocols: list[str] = setting(
        [],
        "Protocols on which the workflow evaluates each training: `[nonvoc, uvo]` gives "
        "`results/<experiment>/seed<k>/nonvoc/` and `.../uvo/`. If empty, `protocol` alone, in "
        "`results/<experiment>/seed<k>/`.",
    )
    files: str = setting(
        PUBLISHED,
        "Which annotations the test set of a published protocol has: the json that the reference evaluates, or one "
        "rebuilt from the official annotations. A protocol without a published json is always rebuilt. In the "
        "workflow, set `evaluation_files` of workflow.yaml instead.",
        choices=(PUBLISHED, REBUILT),
        before=REBUILT,
    )
    test_sets: dict[str, DataSetConfig] = setting(
        {},
        "Protocols of your own: `evaluation.test_sets.NAME.annotations`, `.images` and `.proposals` name the files of "
        "one. Groups are evaluated on it as on `data.test`.",
    )
    groups: dict[str, Any] = setting(
        {},
        "Group name: its classes, as a list of names or as the name of a list "
        f"(`{'`, `'.join(CLASS_LISTS)}`). Each group is measured on its own.",
    )
    max_dets: list[int] = setting(
        [*MAX_DETS], "Numbers of detections per image at which recall is measured.", at_least=1
    )
    boundary: bool = setting(
        False,
        "Also measure `boundary_ar@100` and the other metrics of masks with Boundary IoU, which asks masks to agree "
        "along their outlines too; counting then takes several times as long. Not during a training.",
        before=False,
    )
    dtype: str = setting(
        "float32",
        "Precision of the mask branch, which does most of the arithmetic. Boxes and classes stay in float32.",
        choices=("float32", "bfloat16", "float16"),
    )
