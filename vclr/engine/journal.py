"""What a training says of itself: metrics.jsonl, log.txt, the console, and the tracked run."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import defaultdict
from types import TracebackType

from vclr.config import Config
from vclr.engine.run_folder import RunFolder
from vclr.progress import Progress
from vclr.tracking.run import TrackedRun

log = logging.getLogger("vclr.train")


class Journal:
    """Average what a training reports and write it down every `train.log_period` iterations and at checkpoints."""

    def __init__(self, folder: RunFolder, config: Config, iteration: int, quiet: bool) -> None:
        # A record ends with every checkpoint too: what goes on from there then logs the same averages.
        self.periods, self.last = (config.train.log_period, config.train.checkpointer.period), config.train.max_iter
        self.metrics = folder.metrics.open("a", encoding="utf-8")
        self.tracked = TrackedRun.open(config, folder.path, folder.data_hashes, resume=iteration > 0)
        # Without a terminal the log lines say what a bar would.
        self.progress = Progress("training", self.last, done=iteration, quiet=quiet or not sys.stderr.isatty())
        self.handler = logging.FileHandler(folder.path / "log.txt", encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger("vclr").addHandler(self.handler)
        logging.getLogger("vclr").setLevel(logging.INFO)
        self.checkpoint = folder.last_checkpoint
        self.sums: dict[str, float] = defaultdict(float)
        self.count, self.since = 0, time.perf_counter()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything, and say how the training ended."""
        status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
        if kind is not None:
            # For the file alone: the command says it on the console.
            said = {"msg": f"training stopped: {error or kind.__name__}", "levelname": "ERROR"}
            self.handler.handle(logging.makeLogRecord(said))
        self.progress.close()
        self.metrics.close()
        self.tracked.finish(status, self.checkpoint if self.checkpoint.exists() else None)
        logging.getLogger("vclr").removeHandler(self.handler)
        self.handler.close()

    def step(self, iteration: int, losses: dict[str, float], lr: float, data_seconds: float) -> None:
        """Report the step that ended with `iteration`."""
        for name, value in {**losses, "loss": sum(losses.values()), "data_seconds": data_seconds}.items():
            self.sums[name] += value
        self.count += 1
        self.progress.advance()
        if iteration != self.last and all(iteration % period for period in self.periods):
            return
        record = {name: total / self.count for name, total in self.sums.items()}
        record |= {"lr": lr, "step_seconds": (time.perf_counter() - self.since) / self.count}
        self.write("train", iteration, record)
        remaining = record["step_seconds"] * (self.last - iteration)
        log.info(
            "iteration %d/%d loss %.3f (%.2f s a step, %.0f min left)",
            *(iteration, self.last, record["loss"], record["step_seconds"], remaining / 60),
        )
        self.progress.say(f"loss {record['loss']:.3f}")
        self.sums.clear()
        self.count, self.since = 0, time.perf_counter()

    def write(self, kind: str, iteration: int, record: dict[str, float]) -> None:
        """Write one record to metrics.jsonl and the tracked run."""
        self.metrics.write(json.dumps({"kind": kind, "iteration": iteration, **record}) + "\n")
        self.metrics.flush()
        self.tracked.log({f"{kind}/{name}": value for name, value in record.items()}, iteration)
