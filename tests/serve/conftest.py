"""One server for the tests of this folder that ask questions only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import running, write_checkpoint


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [write_checkpoint(root / name / "seed0", seed) for seed, name in enumerate(("one", "two"))]


@pytest.fixture(scope="session")
def address(checkpoints: list[Path]) -> Iterator[str]:
    with running(checkpoints) as (address, _):
        yield address
