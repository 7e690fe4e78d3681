"""Trainings of 20 steps on images of different sizes, with evaluation and checkpoints on the way, and a resume."""
from __future__ import annotations
import pytest

def test_it(on_gpu, write_settings):
    s = write_settings()
    r = on_gpu("train", trainings=[[s, []]])
    for x in r["steps"]: print(x["iteration"], sum(x["waits"].values()), sum(x["kernels"].values()), x["pageable"], x["races"])
    print(r["touched"])

def test_two(on_gpu, write_settings):
    s = write_settings("train.max_iter=3")
    for r in on_gpu.run("train", 2, trainings=[[s, []]], num_devices=2):
        for x in r["steps"]: print(x["iteration"], sum(x["waits"].values()), sum(x["kernels"].values()), x["pageable"], x["races"])
        print(r["touched"])
