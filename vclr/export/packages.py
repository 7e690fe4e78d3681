"""The packages of the extra `export`, imported when they are needed."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vclr.errors import UsageError

INSTALL = "pip install 'vclr[export]'"


def import_package(name: str) -> Any:
    """Import onnx, onnxruntime or onnxscript.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{name}: cannot be imported ({error}); {INSTALL}") from None


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Silence what torch's exporters say about themselves: deprecations, and packages that they could use."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.__trace", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
