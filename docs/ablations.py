"""The table of docs/ablations.md: each experiment's question, command, hours by arithmetic, and what it leaves open."""

from __future__ import annotations

import re
from pathlib import Path

from vclr.config import Config, load_config

FOLDER = Path(__file__).parents[1] / "configs" / "experiment" / "ablation"

# What an experiment cannot answer, in the order of the table.
OPEN = {
    "baseline": "which of the three missing parts matters: see the other rows; the noise of `views.corrupt` stays",
    "views_natural": "whether it is the views or the noise (`views.corrupt`) that the teacher does not see",
    "views_natural_depth": "whether depth as such helps, or any picture without texture: compare with `views_edge`",
    "views_natural_style": "which styles help; the published copies come from one collection of paintings",
    "views_depth_style": "whether it is the change from views to photos at test time that matters",
    "views_edge": "how edges that a model finds would do: see `views_edge_files`",
    "views_edge_files": "anything until you have put HED's edges there: the workflow fills the folder with Sobel's",
    "views_all_and_edge": "whether a fourth view helps, or fewer draws of the others hurt: each has a quarter",
    "teacher_sees_views": "whether the teacher needs the photo, or the student the views: see `both_see_views`",
    "both_see_views": "what agreement of two equal views means: a third of the draws has the same view twice",
    "no_corruption": "which of the three kinds of noise matters; `views.corrupt` has a switch for each",
    "no_proposals": "what consistency does for unknown objects: without proposals it only sees known ones",
    "proposals_only": "how proposals of annotated objects would do: the published file has none of them",
    "proposals_5": "more than ten: the published file has ten per image",
    "proposals_graph": "how good a method of this kind can be: these need no weights and are far below CutLER's",
    "proposals_graph_20": "the best number for better proposals",
    "two_losses": "the paper's exact form, which was not released; queries of one loss are background in the other",
    "two_losses_half_match": "the best ratio; it is one point",
    "no_consistency": "whether averaged weights help by themselves: compare the student's metrics with the teacher's",
    "consistency_half": "the best weight; it is one point",
    "consistency_twice": "the best weight; it is one point",
    "consistency_of_annotations": "how good proposals have to be for consistency to help on them",
    "consistency_of_proposals": "whether errors of the proposals or their unknown classes matter",
    "consistency_all_layers": "which earlier layer matters",
    "consistency_memory": "whether the matching or the place in the network makes the difference",
    "consistency_l2": "the best weight: L2 has another scale than the cosine",
    "consistency_contrastive": "the best temperature, weight and number of negatives (the batch's other objects)",
    "teacher_is_student": "how a teacher with another momentum would do: see `teacher_slow`",
    "teacher_slow": "long trainings: 0.9999 remembers a sixth of this one",
    "paper_recipe": "which of its differences matters; the paper's values are second-hand ([parity.md](parity.md))",
    "dino": "the paper's stronger figures: its DINO recipe was not released",
    "dino_baseline": "what DINO's other parts give, which every row has: two-stage queries, looking forward twice",
    "swin_tiny": "whether architecture or pretraining matters: ImageNet's labels name many novel classes",
    "convnext_tiny": "whether architecture or pretraining matters, as with `swin_tiny`",
    "dinov2_small": "whether novel classes are novel for it: DINOv2 was trained on curated photos of the web",
}

# Arithmetic of one 640x853 photo (the mean size of training), forward, in TFLOP, two FLOP per product.
MASKS = 4 * 9 * 1024 * 2048 * 80 * 107 / 1e12  # two 3x3 convolutions at stride 8
ENCODER = 0.19  # with the neck: 0.35 TFLOP per million pixels, counted by torch's FlopCounterMode
DECODER = 0.047  # 2000 queries, counted likewise
# From the papers: 4.1, 4.5 and 4.5 GMAC at 224x224. ViT-S/14: 22 million weights and attention among 2806 patches.
RESNET = 0.089
BACKBONES = {"swin": 0.098, "convnext": 0.098, "dinov2": 0.27}
SUSTAINED = 40.0  # TFLOP/s of a GPU, a quarter of an A100's peak in TF32
GPUS = 8


def ablations() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head and the rows of the table.

    Raises:
        ValueError: an experiment is not in `OPEN`, or has no file.
    """
    files = {path.stem: path for path in FOLDER.glob("*.yaml")}
    if differ := files.keys() ^ OPEN.keys():
        raise ValueError(f"{', '.join(sorted(differ))}: not both in docs/ablations.py and in {FOLDER}")
    head = ("question", "experiment", "`--config`", "hours on 8 GPUs", "what it cannot answer")
    return head, [
        (
            what_it_asks(files[name]),
            f"[{name}](../configs/experiment/ablation/{name}.yaml)",
            f"`experiments=[ablation/{name}]`",
            f"{hours(load_config(files[name])):.1f}",
            left_open,
        )
        for name, left_open in OPEN.items()
    ]


def what_it_asks(path: Path) -> str:
    """Return the first comment of a file: the question, and what the experiment does."""
    comment = path.read_text(encoding="utf-8").partition("\nbase:")[0]
    return re.sub(r"\s*\n# ", " ", comment.removeprefix("# "))


def hours(config: Config) -> float:
    """Return the hours of a training on `GPUS` GPUs, from its arithmetic alone."""
    source = config.model.backbone.source
    backbone = RESNET
    if source:
        backbone = next(cost for name, cost in BACKBONES.items() if name in source.split("/")[-1])
    noisy = 2 * config.model.dn_number / config.model.num_queries if config.model.denoises else 0.0
    core = backbone + ENCODER + DECODER
    student = 3 * (core + DECODER * noisy + MASKS)  # the gradient costs twice the forward pass
    teacher = core if config.model.criterion.weight_dict.loss_consistency else 0.0
    images = config.dataloader.train.total_batch_size * config.train.max_iter
    return float((student + teacher) * images / (GPUS * SUSTAINED) / 3600)
