"""A training step of the small detector on toy scenes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.timing import compare
from vclr.config import load_config
from vclr.data.loader import training_loader
from vclr.data.samples import TrainingSamples
from vclr.engine.state import TrainState
from vclr.engine.step import training_step
from vclr.generate.toy import write_toy_world
from vclr.losses.consistency import ConsistencyCriterion
from vclr.losses.criterion import Criterion

VARIANTS = {
    "student": ["model.criterion.weight_dict.loss_consistency=0"],
    "student and teacher": [],
    "bfloat16, with teacher": ["train.amp.enabled=True"],
}


def main() -> None:
    """Print the comparison."""
    with tempfile.TemporaryDirectory() as folder:
        write_toy_world(Path(folder), num_train=16, num_val=2, quiet=True)
        toy = Path(folder) / "raw" / "toy"
        data = [f"data.train.annotations={toy}/annotations_train.json", f"data.train.images={toy}/images"]
        data += [f"data.train.views.{view}={folder}/views/toy/{view}" for view in ("depth", "style")]
        steps = {}
        for name, overrides in VARIANTS.items():
            config = load_config("configs/small_detector.yaml", [*data, *overrides])
            batch = next(iter(training_loader(config, TrainingSamples(config))))
            state = TrainState(config, torch.device("cpu"))
            criteria = Criterion(config.model.criterion), ConsistencyCriterion(config.model.criterion)
            steps[name] = lambda state=state, batch=batch, criteria=criteria: training_step(state, batch, *criteria)
        compare("training step, 8 scenes of 128x128", steps)


if __name__ == "__main__":
    main()
