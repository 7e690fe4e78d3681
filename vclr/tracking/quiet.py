"""Keep MLflow quiet: no telemetry, no progress bars, no long waits for an unreachable server."""

from __future__ import annotations

import logging
import os

# Only defaults: a value in the environment wins.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; the default is 120
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # tracking retries itself, in the background
}


def quiet_mlflow() -> None:
    """Set MLflow's environment variables; call it before the first `import mlflow`, which reads some of them."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # If MLflow was imported before, it has already set its level.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tells errors that it also raises
