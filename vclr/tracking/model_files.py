"""The files that make a checkpoint an MLflow model: how it is loaded, what it takes and returns, an example."""

from __future__ import annotations

import base64
import io
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.tracking.checkpoint_pointer import POINTER_FILE, CheckpointPointer

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

# MLflow imports this module by its name when it loads a model. No code is stored, so none of a stranger is executed.
LOADER = "vclr.evaluation.served_detector"
# What may be overridden where a model is loaded: `mlflow.pyfunc.load_model(uri, model_config={"device": "cpu"})`.
DEFAULTS = {"device": "auto", "weights": ""}
IMAGE, FILE_NAME = "image", "file_name"  # columns of the input


def write_model_files(folder: Path, model_id: str, run_id: str, pointer: CheckpointPointer) -> None:
    """Write MLmodel, requirements, an example and the pointer into a folder that does not exist yet.

    vclr itself is not among the requirements, because it is not on the package index: models are served from an
    environment that has it (`--env-manager local`).
    """
    with tempfile.TemporaryDirectory() as outside, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's import warns of types in its own code
        import mlflow.pyfunc
        import pandas as pd
        from mlflow.models import Model

        data = Path(outside) / "checkpoint"
        pointer.write(data / POINTER_FILE)
        mlflow.pyfunc.save_model(
            folder,
            loader_module=LOADER,
            data_path=str(data),
            signature=_signature(),
            input_example=pd.DataFrame({IMAGE: [_example_photo()], FILE_NAME: ["example.png"]}),
            # Without the part after `+`, which names a build that the package index does not have.
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", "torch")],
            model_config=DEFAULTS,
            mlflow_model=Model(model_id=model_id, run_id=run_id),
            uv_project_path=outside,  # otherwise, MLflow would copy a lock file from the working directory
        )


def _signature() -> ModelSignature:
    """Return the signature: a row per photo in; per photo, a list of COCO results out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array, Object, Property

    mask = Object([Property("size", Array(DataType.long)), Property("counts", DataType.string)])
    fields: dict[str, Any] = {
        "category_id": DataType.long,
        "bbox": Array(DataType.double),
        "score": DataType.double,
        "segmentation": mask,
    }
    properties = [Property(name, kind) for name, kind in fields.items()]
    properties.append(Property(FILE_NAME, DataType.string, required=False))
    return ModelSignature(
        inputs=Schema([ColSpec("string", IMAGE), ColSpec("string", FILE_NAME, required=False)]),
        outputs=Schema([ColSpec(Array(Object(properties)))]),
    )


def _example_photo() -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.linear_gradient("L").resize((48, 32)).convert("RGB").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
