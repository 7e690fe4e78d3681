"""Check that torch computes, on the CPU and on the GPUs that are there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vclr
from vclr.finding import ERROR, OK, WARNING, Finding
from vclr.processes import count_cpus, has_gpu_driver

GIB = 2**30
SMALL_GPU = 8 * GIB  # less does not train the published detector, one image at a time
PATIENCE = 180  # seconds for the import of torch and a tiny computation; a cold network disk takes a minute
REINSTALL = "`pip install --force-reinstall torch`; https://pytorch.org/get-started/locally has builds for each GPU"


def check_computation(patience: float = PATIENCE) -> Iterator[Finding]:
    """Run `torch_facts` as a process, and judge what it prints. A torch that is broken becomes a finding.

    Args:
        patience: seconds after which the process is given up.
    """
    facts = _read_facts(patience)
    if isinstance(facts, str):
        yield Finding(ERROR, "torch", facts, REINSTALL)
        return
    yield judge_torch(facts)
    for name, why in facts["broken"].items():
        yield Finding(
            ERROR, name, f"cannot be imported: {why}", f"`pip install --force-reinstall {name_on_pypi(name)}`"
        )
    yield judge_processor(facts)
    yield from judge_gpus(facts, has_gpu_driver())


def name_on_pypi(module: str) -> str:
    """Return the name under which pip knows a module."""
    return {"PIL": "pillow", "skimage": "scikit-image"}.get(module, module)


def _read_facts(patience: float) -> dict[str, Any] | str:
    """Return what the process prints, or why it does not print it."""
    path = os.pathsep.join(filter(None, (str(Path(vclr.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vclr.installation.torch_facts"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        return f"does not answer within {patience:g} s"
    except OSError as error:
        return f"cannot be asked: {error.strerror}"
    if done.returncode < 0:
        return f"crashes this machine's Python ({_signal_name(-done.returncode)})"
    lines = done.stderr.strip().splitlines()
    if done.returncode:
        return f"cannot be used: {lines[-1] if lines else f'exit status {done.returncode}'}"
    try:
        facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return "does not answer"
    return facts


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}: this CPU lacks an instruction that it needs" if name == "SIGILL" else name


def judge_torch(facts: dict[str, Any]) -> Finding:
    """Judge version, build and the tiny computation."""
    builds = [f"{name} {facts[key]}" for key, name in (("cuda", "CUDA"), ("hip", "ROCm")) if facts[key]]
    says = f"{facts['version']} ({', '.join(builds) or 'for CPUs'}), imported in {facts['seconds']:.1f} s"
    if facts["wrong"]:
        return Finding(ERROR, "torch", f"{says}, computes wrongly on the CPU: {facts['wrong']}", REINSTALL)
    return Finding(OK, "torch", says)


def judge_processor(facts: dict[str, Any]) -> Finding:
    """Judge the instructions of the CPU and the number of threads."""
    cpus, threads = count_cpus(), facts["threads"]
    instructions = f"{facts['capability']}{', AMX' if facts['amx'] else ''}"
    says = f"{cpus} cores for this process, {threads} threads, {instructions}"
    if threads > cpus:
        return Finding(WARNING, "CPU", says, f"threads wait for each other: `export OMP_NUM_THREADS={cpus}`")
    if facts["capability"] == "DEFAULT":
        fix = "a CPU with AVX2 is several times as fast"
        return Finding(WARNING, "CPU", f"{cpus} cores for this process, {threads} threads, without AVX2", fix)
    return Finding(OK, "CPU", says)


def judge_gpus(facts: dict[str, Any], has_driver: bool) -> Iterator[Finding]:
    """Judge each GPU, or say why torch uses none.

    Args:
        facts: what `torch_facts.collect` returns.
        has_driver: whether the machine has NVIDIA's driver, and so most likely a GPU.
    """
    for index, gpu in enumerate(facts["gpus"]):
        says = f"cuda:{index}, {gpu['name']}, {gpu['memory'] / GIB:.0f} GiB, driver {facts['driver'] or 'unknown'}"
        if gpu["wrong"]:
            fix = f"update the driver or install another build of torch: {REINSTALL}; or `train.device=cpu`"
            yield Finding(ERROR, "device", f"{says}: {gpu['wrong']}", fix)
        elif gpu["memory"] < SMALL_GPU:
            fix = "`train.amp.enabled=True dataloader.train.total_batch_size=1`, or a smaller model.num_queries"
            yield Finding(WARNING, "device", f"{says}: little memory for the published detector", fix)
        else:
            yield Finding(OK, "device", says)
    if facts["gpus"]:
        return
    if facts["mps"]:
        yield Finding(OK, "device", "the CPU; vclr does not use Apple's GPUs")
    elif has_driver:
        yield Finding(WARNING, "device", f"the CPU, though a driver for GPUs is there: {facts['no_gpu']}", REINSTALL)
    else:
        yield Finding(OK, "device", "the CPU; this machine has no driver for NVIDIA GPUs")
