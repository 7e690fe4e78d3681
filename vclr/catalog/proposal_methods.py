"""The names of the methods that propose objects. A method is an entry here and a module in `vclr/object_proposals/`."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PROPOSALS = 30  # per photo
MAX_IOU = 0.5  # with an annotation or a better proposal; above it, a proposal is the same object
MODELS = "models"  # what a method needs that runs a model of the Hugging Face hub: the extra `vclr[models]`
MODEL_OPTIONS = ("model", "revision", "device", "dtype", "batch_size")  # what such a method uses


@dataclass(frozen=True)
class ProposalMethod:
    """What a user must know of a method.

    Attributes:
        description: how it finds objects.
        uses: the options of `MethodOptions` that it uses besides `max_proposals` and `min_score`.
        needs: those that must be given, and MODELS for the extra.
        model: the model of the Hugging Face hub that it uses by default; "" if it uses none.
    """

    description: str
    uses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    model: str = ""


DETECTOR = "detector"  # the method of self-training

PROPOSAL_METHODS: dict[str, ProposalMethod] = {
    "graph": ProposalMethod("regions of hierarchical segmentations, ranked by how they look; needs no weights"),
    "maskcut": ProposalMethod(
        "normalized cuts of the features of a self-supervised vision transformer",
        uses=MODEL_OPTIONS,
        needs=(MODELS,),
        model="facebook/dino-vits8",
    ),
    "depth_cut": ProposalMethod(
        "as maskcut, with the depth of a view beside the features",
        uses=(*MODEL_OPTIONS, "depth"),
        needs=(MODELS, "depth"),
        model="facebook/dino-vits8",
    ),
    "sam": ProposalMethod(
        "everything that SAM or SAM 2 segments from a grid of points, ranked by its own estimate of quality",
        uses=MODEL_OPTIONS,
        needs=(MODELS,),
        model="facebook/sam-vit-base",
    ),
    DETECTOR: ProposalMethod(
        "what a trained checkpoint finds, for a round of self-training",
        uses=("checkpoint", "device", "dtype", "batch_size"),
        needs=("checkpoint",),
    ),
}

# The methods that need nothing but photos and models, so that the workflow makes their proposals for any set.
FREE_METHODS = [name for name, method in PROPOSAL_METHODS.items() if not method.needs]
MODEL_METHODS = [name for name, method in PROPOSAL_METHODS.items() if MODELS in method.needs]
SET_METHODS = [*FREE_METHODS, *MODEL_METHODS]
