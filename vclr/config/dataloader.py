"""Settings of the root `dataloader`: how images are resized, cropped and batched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vclr.config.setting import section, setting

AUTO = "auto"  # as a batch size: the largest that fits


@dataclass
class DatasetNamesConfig:
    names: str = setting("", "Data set of the catalog, if `data.*.annotations` is empty.")
    filter_empty: bool = setting(True, "Leave out images without an object, be it annotated or proposed.")


@dataclass
class TrainMapperConfig:
    short_edge_length: list[int] = setting(
        list(range(480, 801, 32)), "Lengths of the shorter side after resizing; one is drawn per sample.", at_least=1
    )
    max_size: int = setting(1333, "Maximum length of the longer side after resizing.", at_least=1)
    crop_probability: float = setting(0.5, "Share of samples that are cropped before resizing.", at_least=0, at_most=1)
    crop_short_edge_length: list[int] = setting(
        [400, 500, 600], "Lengths of the shorter side before the crop.", at_least=1
    )
    crop_size: list[int] = setting([384, 600], "Smallest and largest side of the crop.", length=2, at_least=1)
    instance_mask_format: str = setting(
        "polygon",
        "Has no effect, since both formats are read from the same json; kept for the reference's overrides.",
        choices=("polygon", "bitmask"),
    )
    mask_on: bool = setting(True, "Evaluate masks. With False, only boxes are evaluated.")


@dataclass
class TestMapperConfig:
    short_edge_length: int = setting(800, "Length of the shorter side after resizing.", at_least=1)
    max_size: int = setting(1333, "Maximum length of the longer side after resizing.", at_least=1)


@dataclass
class TrainLoaderConfig:
    dataset: DatasetNamesConfig = section(lambda: DatasetNamesConfig(names="openworld_voc_classes_train2017"))
    mapper: TrainMapperConfig = section(TrainMapperConfig)
    total_batch_size: Any = setting(
        16,
        f"Images per step, of all processes together. `{AUTO}` is for one process: the most images that fit into the "
        "memory of its device are found before the first step, but no more than the training set has, and no more than "
        "1024. The number is written to config.yaml of the run folder, and `--resume` keeps it. `optimizer.lr` and "
        "`train.max_iter` do not follow it.",
        at_least=1,
        at_most=10**6,
        words=(AUTO,),
    )
    group_size: int = setting(
        0,
        "Images of a batch that turn gray together and are all wide or all tall, as those of one GPU in the reference, "
        "however many processes there are; 0: the whole batch.",
        at_least=0,
        before=0,
    )
    aspect_ratio_grouping: bool = setting(True, "Do not mix wide and tall images in a group: less padding.")
    num_workers: int = setting(4, "Loader workers per process; 0 for none.", at_least=0, changes="nothing")
    prefetch_factor: int = setting(2, "Batches that each loader worker prepares ahead.", at_least=1, changes="nothing")


@dataclass
class TestLoaderConfig:
    dataset: DatasetNamesConfig = section(lambda: DatasetNamesConfig(names="openworld_nonvoc_classes_val2017"))
    mapper: TestMapperConfig = section(TestMapperConfig)
    batch_size: int = setting(1, "Images per forward pass.", at_least=1, changes="nothing")
    num_workers: int = setting(4, "Loader workers per process; 0 for none.", at_least=0, changes="nothing")


@dataclass
class DataloaderConfig:
    train: TrainLoaderConfig = section(TrainLoaderConfig)
    test: TestLoaderConfig = section(TestLoaderConfig, changes="evaluation")
