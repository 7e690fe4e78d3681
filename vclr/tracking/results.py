"""Keep results of evaluations and probes, and reports, in the run folders of the trainings; deliver them to MLflow."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vclr.catalog.classes import ALL
from vclr.config import Config
from vclr.errors import UserError, first_line
from vclr.files import atomic_path, read_json, write_json
from vclr.tracking.figures import EVALUATION, PROBE
from vclr.tracking.run_files import RunFiles
from vclr.tracking.secrets import redact, redact_values
from vclr.tracking.store import store_of
from vclr.tracking.sync import Deliveries

log = logging.getLogger("vclr.tracking")


def store_results(config: Config, metrics: dict[str, Any], *pictures: Path) -> None:
    """Keep the results of an evaluation in the folder of the training, and deliver them, if that is tracked.

    The keys are `results/{protocol}/{metric}`, and `results/{protocol}/{group}/{metric}` for each group. If
    `evaluation.protocol` is empty or one of the groups, they are `results/{group}/{metric}`, and without groups
    `results/all/{metric}`. Below the keys of the headline, `low` and `high` are the ends of its intervals
    over images. An error is only a warning. `metrics` is the content of metrics.json; the pictures are kept too.
    """
    _keep(config, EVALUATION, metrics, *pictures)


def store_probe(config: Config, content: dict[str, Any], picture: Path) -> None:
    """Keep the main figures of a probe and its picture in the folder of the training, as `store_results` does.

    The keys are `probe/{protocol}/{group}/{metric}_kept/{rendering}`, and `appearance_invariance` instead of the
    rendering for the mean; the values are percent of the photos'. The group is `novel`, or the first one if there is no
    such group. If `evaluation.protocol` is empty or one of the groups, the keys name only the group; without groups
    they name only the protocol, or `all`. `content` is that of probe.json.
    """
    _keep(config, PROBE, content, picture)


def store_report(runs: Iterable[Path], files: Sequence[Path]) -> None:
    """Keep a report in the folders of the trainings that it compares, and deliver it, for those that are tracked.

    An error is only a warning.

    Args:
        runs: the run folders.
        files: what belongs to it; all in one folder. A later report from a folder of the same name replaces it.
    """
    deliveries = Deliveries()
    for run_dir in runs:
        tracked = RunFiles(run_dir)
        try:
            if tracked.identity():
                _copy(files, tracked.reports / files[0].parent.name)
                deliveries.deliver_or_warn(run_dir)
        except (OSError, UserError) as error:
            log.warning("%s: the report is not kept for MLflow: %s", run_dir, redact(first_line(error)))


def run_of(config: Config, provenance: dict[str, Any]) -> RunFiles | None:
    """Return the run of the training whose checkpoint was measured, if it is tracked."""
    checkpoint = provenance["checkpoint"]
    if not config.tracking.enabled or checkpoint is None:
        return None
    files = RunFiles(Path(checkpoint["path"]).parent.parent)
    return files if files.identity() else None


def _keep(config: Config, kind: str, content: dict[str, Any], *pictures: Path) -> None:
    source = content["provenance"]
    try:
        if files := run_of(config, source):
            # Of another checkpoint, or of its student and teacher, the results are others.
            which = f"{source.get('weights') or 'model'}_{source['checkpoint']['sha256'][:8]}"
            place = f"{kind}_{source['protocol'] or ALL}"
            _write(files, kind, f"{place}_{which}", content)
            _copy(pictures, files.pictures / place)
            Deliveries("", _configured_store(config)).deliver_or_warn(files.run_dir)
    except (OSError, UserError) as error:
        log.warning("the results are not kept for MLflow: %s", redact(first_line(error)))


def _configured_store(config: Config) -> str:
    """Return the address of the store that a command is to use; "" if its password is not known."""
    try:
        return store_of(config)
    except UserError:
        return ""


def _write(files: RunFiles, kind: str, name: str, content: dict[str, Any]) -> None:
    files.results.mkdir(parents=True, exist_ok=True)
    path, now = files.results / f"{name}.json", time.time()
    began = read_json(path)["began"] if path.exists() else now
    write_json(path, {"kind": kind, "began": began, "time": now, "content": redact_values(content)})


def _copy(files: Sequence[Path], folder: Path) -> None:
    for file in files:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / file.name) as partial:
            shutil.copyfile(file, partial)
