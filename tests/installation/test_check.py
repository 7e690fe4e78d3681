"""`vclr doctor`: each check on machines that are fit and on those that are not. What is broken is a line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vclr.cli import app
from vclr.finding import ERROR, OK, WARNING, Finding
from vclr.installation import check, computation, interpreter, machine
from vclr.installation.computation import check_computation, judge_gpus
from vclr.installation.folders import check_folders, why_not
from vclr.installation.interpreter import check_extras, check_packages, check_python
from vclr.installation.machine import check_disk, check_memory, check_open_files, check_shared_memory
from vclr.installation.programs import check_programs

GIB = 2**30
NO_GPU = {"gpus": [], "mps": False, "no_gpu": "torch is built without CUDA", "driver": None}


def package(folder: Path, name: str, source: str) -> None:
    """Write a package that comes before the installed one."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(source, encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "raise OSError('libtorch_cpu.so: cannot open shared object file')",
            "cannot be used: OSError: libtorch_cpu.so",
        ),
        ("import os; os.kill(os.getpid(), 4)", "SIGILL: this CPU lacks an instruction"),
        ("import time; time.sleep(60)", "does not answer within 1 s"),
        ("import sys; sys.exit(0)", "does not answer"),
    ],
)
def test_torch_that_is_broken_is_one_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, says: str):
    package(tmp_path, "torch", source)
    _before_the_package(tmp_path, monkeypatch)
    (finding,) = check_computation(patience=1 if "sleep" in source else 3)
    assert finding.level == ERROR and finding.topic == "torch"
    assert says in finding.says
    assert "pip install --force-reinstall torch" in finding.fix


def _before_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that `check_computation` starts find `folder` first; the quick import of the others is left out."""
    package_folder = Path(computation.vclr.__file__).parent
    (folder / "vclr").symlink_to(package_folder)
    monkeypatch.setattr(computation.vclr, "__file__", str(folder / "vclr/__init__.py"))
    for name in ("scipy", "skimage", "matplotlib", "shapely", "pycocotools"):  # these take seconds
        package(folder, name, "raise ImportError('left out')")


def test_package_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _before_the_package(tmp_path, monkeypatch)
    broken = {finding.topic: finding for finding in check_computation() if finding.level == ERROR}
    assert broken["skimage"].says == "cannot be imported: ImportError: left out"
    assert broken["skimage"].fix == "`pip install --force-reinstall scikit-image`"


def test_gpu_that_torch_cannot_use():
    assert [finding.level for finding in judge_gpus(NO_GPU, has_driver=False)] == [OK]
    (finding,) = judge_gpus(NO_GPU, has_driver=True)
    assert finding.level == WARNING and "built without CUDA" in finding.says
    gpus = [
        {"name": "A", "memory": 80 * GIB, "wrong": ""},
        {"name": "B", "memory": 80 * GIB, "wrong": "no kernel image is available"},
        {"name": "C", "memory": 4 * GIB, "wrong": ""},
    ]
    findings = list(judge_gpus(NO_GPU | {"gpus": gpus, "driver": "570.1"}, has_driver=True))
    assert [finding.level for finding in findings] == [OK, ERROR, WARNING]
    assert findings[0].says == "cuda:0, A, 80 GiB, driver 570.1"
    assert "no kernel image" in findings[1].says


def test_python_and_packages(monkeypatch: pytest.MonkeyPatch):
    assert [check_python(version).level for version in ((3, 9, 1), (3, 10, 0), (3, 12, 1))] == [ERROR, WARNING, OK]
    assert check_packages().level == OK
    lines = ["numpy>=99", "no-such-package>=1", 'torch; extra == "more"', 'absent; python_version < "3"', "pillow"]
    monkeypatch.setattr(interpreter.metadata, "requires", lambda name: lines)
    interpreter._requirements.cache_clear()
    finding = check_packages()
    interpreter._requirements.cache_clear()
    assert finding.level == ERROR
    assert "numpy>=99 is needed, but " in finding.says
    assert "no-such-package>=1 is needed, but not installed" in finding.says
    assert finding.fix == "`pip install 'numpy>=99' 'no-such-package>=1'`"
    assert "torch" not in finding.says and "absent" not in finding.says


def test_extras_are_installed_or_have_a_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        interpreter.metadata, "requires", lambda name: ['numpy; extra == "s3"', 'no-such; extra == "lvis"']
    )
    interpreter._requirements.cache_clear()
    says = {finding.says.partition(":")[0]: finding for finding in check_extras()}
    interpreter._requirements.cache_clear()
    assert says["s3"].says.startswith("s3: installed") and not says["s3"].fix
    assert says["lvis"].says.startswith("lvis: not installed: no-such")
    assert says["lvis"].fix == "`pip install 'vclr[lvis]'`"
    assert says["models"].says.startswith("models: not for this Python")


def test_memory_disk_and_limits(tmp_path: Path):
    assert [check_memory(left * GIB).level for left in (1, 4, 64)] == [ERROR, WARNING, OK]
    assert [check_disk(tmp_path / "a/b", int(left * GIB)).level for left in (0.1, 4, 640)] == [ERROR, WARNING, OK]
    assert check_open_files((256, 4096)).fix == "`ulimit -n 1024`"
    assert check_open_files((256, 512)).level == WARNING
    assert check_open_files((4096, 4096)).level == OK
    assert check_shared_memory(tmp_path / "none").level == OK


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "results/cache"))
    (tmp_path / "results").write_text("a file")
    findings = list(check_folders())
    assert [(finding.level, finding.says) for finding in findings if finding.level == ERROR] == [
        (ERROR, f"results: {tmp_path}/results is a file, not a folder")
    ]
    assert findings[-1].level == WARNING and "HF_HOME=FOLDER" in findings[-1].fix
    (tmp_path / "locked").mkdir(mode=0o555)
    user = os.geteuid()
    try:
        if not user:  # who may write everywhere
            os.seteuid(65534)
        assert "Permission denied" in why_not(tmp_path / "locked/runs")
    finally:
        os.seteuid(user)
    assert not why_not(tmp_path / "new/folder")
    assert not (tmp_path / "new").exists(), "a check makes nothing"


def test_commands_of_the_environment_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert next(iter(check_programs())).level == OK
    monkeypatch.setenv("PATH", str(tmp_path))
    own, *others = check_programs()
    assert own.level == WARNING and "activate" in own.fix
    assert all("not found" in finding.says and finding.fix and finding.level == OK for finding in others)


def test_a_check_that_fails_is_a_finding_and_the_others_run(monkeypatch: pytest.MonkeyPatch):
    def fails() -> Finding:
        raise RuntimeError("odd machine")

    monkeypatch.setattr(check, "CHECKS", (fails, machine.describe_system))
    first, second = check.check_installation()
    assert first.level == ERROR and "odd machine" in first.says
    assert second.level == OK


def test_command_prints_lines_or_json_and_exits_1_if_something_is_broken(monkeypatch: pytest.MonkeyPatch):
    broken = Finding(ERROR, "torch", "is broken", "mend it")
    monkeypatch.setattr(check, "CHECKS", (machine.describe_system, lambda: broken))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "error    torch: is broken\n         -> mend it\n" in done.output
    assert "is not ready: fix the errors above (1 error, 0 warnings)" in done.output
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    report = json.loads(done.output)
    assert report["usable"] is False
    assert report["findings"][1] == {"level": ERROR, "topic": "torch", "says": "is broken", "fix": "mend it"}
    monkeypatch.setattr(check, "CHECKS", (machine.describe_system,))
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0
