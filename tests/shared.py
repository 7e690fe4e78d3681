"""Material that the tests read and that does not belong to the project: photos, files of evaluators, reference arrays.

It lies in the folder that `VCLR_SHARED` names, or beside the project; tests that need it skip where it is absent.
"""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("VCLR_SHARED", Path(__file__).parents[2] / "shared"))
PHOTOS = SHARED / "data" / "tiny_coco"  # 100 photos of COCO with annotations
EVALUATOR_FILES = SHARED / "data" / "eval"
