"""MLflow without its chatter: no telemetry, no progress bars, no long waits for a server that is not there."""

from __future__ import annotations

import logging
import os

# Only defaults: whoever sets one of these in the environment is obeyed.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; the default is 120
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # tracking tries again itself, without holding anybody up
}


def quiet_mlflow() -> None:
    """Set MLflow's environment variables; call it before the first `import mlflow`, which reads some of them."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # Where somebody else has imported MLflow already, it has also chosen its level.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
