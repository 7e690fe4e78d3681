"""The formats of exported models, and where their processing stands."""

from __future__ import annotations

EXPORT_FORMATS = {
    "onnx": "a graph for onnxruntime and other runtimes",
    "torch": "a program of torch.export, which torch.export.load opens",
    "aot": "a library compiled by AOTInductor, for machines like this one",
}

INSIDE, BESIDE = "inside", "beside"
# Names of the outputs; `vclr.export.graph` says what they hold.
EXPORT_OUTPUTS = {
    INSIDE: ("scores", "boxes", "kept", "mask_logits", "queries", "cells"),
    BESIDE: ("pred_logits", "pred_boxes", "mask_embeds", "mask_features", "cells"),
}
EXPORT_INPUT = "images"
OPSET = 18  # of ONNX: the lowest in which torch writes models; more runtimes read it than later ones
MAX_OPSET = 25  # the highest that was tried, with onnxruntime 1.32

MIN_FIXED_SIDE = 32  # pixels; files of any size need one more than a cell of the coarsest level
MAX_SIDE, MAX_BATCH = 4096, 64  # pixels, images
