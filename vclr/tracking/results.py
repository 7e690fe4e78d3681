"""Keep the results of evaluations and probes in the run folder of the training, and deliver them to MLflow."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

from vclr.catalog.classes import ALL
from vclr.config import Config
from vclr.errors import first_line
from vclr.files import read_json, write_json
from vclr.tracking.figures import EVALUATION, PROBE
from vclr.tracking.run_files import RunFiles
from vclr.tracking.secrets import redact_values
from vclr.tracking.store import store_of
from vclr.tracking.sync import deliver_now, store_of_run

log = logging.getLogger("vclr.tracking")


def store_results(config: Config, metrics: dict[str, Any], *pictures: Path) -> None:
    """Keep the results of an evaluation in the folder of the training, and deliver them, if that is tracked.

    The keys are `results/{protocol}/{metric}`, and `results/{protocol}/{group}/{metric}` for each group. If
    `evaluation.protocol` is empty or one of the groups, they are `results/{group}/{metric}`, and without groups
    `results/all/{metric}`. Below the key of the headline, `low` and `high` are the ends of its interval over images.
    An error is only a warning. `metrics` is the content of metrics.json; the pictures are kept too.
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


def _keep(config: Config, kind: str, content: dict[str, Any], *pictures: Path) -> None:
    checkpoint = content["provenance"]["checkpoint"]
    if not config.tracking.enabled or checkpoint is None:
        return
    files = RunFiles(Path(checkpoint["path"]).parent.parent)
    if not files.identity():
        return
    name = f"{kind}_{content['provenance']['protocol'] or ALL}"
    try:
        files.results.mkdir(parents=True, exist_ok=True)
        path, now = files.results / f"{name}.json", time.time()
        began = read_json(path)["began"] if path.exists() else now
        write_json(path, {"kind": kind, "began": began, "time": now, "content": redact_values(content)})
        for picture in pictures:
            folder = files.pictures / name
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, folder / picture.name)
    except OSError as error:
        log.warning("%s: the results are not kept there for MLflow: %s", files.folder, first_line(error))
        return
    deliver_now(files.run_dir, store_of_run(files.run_dir, store_of(config)))
