"""A checkpoint behind `mlflow models serve`: photos in base64 in, COCO results out, equal to those of `vclr predict`.

MLflow imports this module when it loads a model that vclr logged, and calls `_load_pyfunc`.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vclr.config import Config
from vclr.errors import UserError
from vclr.evaluation.inference import predict
from vclr.evaluation.predict import as_results
from vclr.models.detector import Detector
from vclr.models.ready import open_detector
from vclr.pictures import open_image
from vclr.tracking.checkpoint_parts import join_parts
from vclr.tracking.checkpoint_pointer import POINTER_FILE, CheckpointPointer
from vclr.tracking.model_files import FILE_NAME, IMAGE

if TYPE_CHECKING:
    from pandas import DataFrame


class ServedDetector:
    """A detector that takes rows of a table."""

    def __init__(self, model: Detector, config: Config) -> None:
        self._model, self._mapper = model, config.dataloader.test.mapper
        self._one_at_a_time = threading.Lock()  # the precision of float32 is a setting of the process

    def predict(self, rows: DataFrame) -> list[list[dict[str, Any]]]:
        """Find the objects in photos.

        Args:
            rows: a photo per row: `image`, an image file in base64; and `file_name`, optional, which is only repeated
                in the results.

        Returns:
            For each photo the content of the json that `vclr predict` writes: COCO results with RLE masks. Without
            `file_name`, the results have none either.

        Raises:
            MlflowException: an image is not one; a server answers with the status 400.
        """
        names = rows[FILE_NAME] if FILE_NAME in rows else [None] * len(rows)
        photos = [_decode(text, f"{IMAGE} of row {number}") for number, text in enumerate(rows[IMAGE])]
        with self._one_at_a_time:
            return [self._predict(photo, name) for photo, name in zip(photos, names, strict=True)]

    def _predict(self, photo: np.ndarray, name: Any) -> list[dict[str, Any]]:
        found = predict(self._model, photo, self._mapper.short_edge_length, self._mapper.max_size)
        return as_results(found, name if isinstance(name, str) else None)


def load_served(folder: Path, device: str = "auto", weights: str = "") -> ServedDetector:
    """Load the checkpoint of a model's data folder: the file that was logged, else the uploaded copy, verified.

    Args:
        folder: holds the pointer, and the parts of an uploaded checkpoint.
        device: auto, cpu, cuda ...
        weights: student or teacher (default: what the configuration says).

    Raises:
        UserError: the file is gone or changed, and no intact copy was uploaded.
    """
    pointer = CheckpointPointer.read(folder / POINTER_FILE)
    path = Path(pointer.path)
    if complaint := pointer.complaint(path):
        if pointer.part_bytes is None:
            raise UserError(f"{complaint}; no copy of it was uploaded")
        path = join_parts(pointer, lambda part: (folder / part).read_bytes(), str(folder))
    return ServedDetector(*open_detector(path, device, weights=weights))


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> ServedDetector:
    """Load a model for MLflow, which lets `model_config` override the settings that the model was stored with."""
    return load_served(Path(path), **(model_config or {}))


def _decode(text: Any, name: str) -> np.ndarray:
    """Return the pixels (h, w, 3) uint8 of an image file in base64."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    try:
        # Line breaks are part of many encoders' base64.
        data = base64.b64decode("".join(str(text).split()), validate=True)
        return np.asarray(open_image(name, data))
    except binascii.Error:
        raise MlflowException(f"{name}: is not base64", INVALID_PARAMETER_VALUE) from None
    except UserError as error:
        raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from None
