"""The data sets of a run as MLflow knows them: by a name and a digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

MAX_DIGEST = 32  # digits of a sha256; MLflow allows 36
TEST = "test_"  # begins the names of what is evaluated
TEST_ANNOTATIONS = f"{TEST}annotations"


class DataSet(NamedTuple):
    """A data set: its name, the digest that identifies its content, and where it is."""

    name: str
    digest: str
    source: str = ""

    def as_input(self) -> DatasetInput:
        """Return it as MLflow's input of a run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        content = Dataset(self.name, self.digest, "local", json.dumps({"uri": self.source}))
        context = "evaluation" if self.name.startswith(TEST) else "training"
        return DatasetInput(content, [InputTag("mlflow.data.context", context)])


def data_set(role: str, source: str, digest: str) -> DataSet:
    """Describe a file or folder that a run reads. MLflow's page shows the name: `annotations toy_train_toy_known.json`.

    Args:
        role: what it is to the run; that of a test set begins with `test_`.
        source: its path.
        digest: its hash, of which the first digits count.
    """
    return DataSet(f"{role} {Path(source).name}".strip(), digest[:MAX_DIGEST], source)


def data_sets_of(inputs: Mapping[str, Mapping[str, str]]) -> list[DataSet]:
    """Describe each file and folder that a training reads; `inputs` is as in `RunFiles.begin_run`."""
    return [data_set(role, one["source"], one["digest"]) for role, one in inputs.items()]
