"""One example per verb, shown at the end of its `--help` and in errors about its arguments."""

from __future__ import annotations

import typer

# The keys are the words after `vclr`; tests/test_cli.py parses each example.
EXAMPLES = {
    "fetch": "vclr fetch coco2017 lvis --dry-run",
    "split": "vclr split nonvoc --annotations data/raw/coco2017/annotations/instances_val2017.json "
    "--output nonvoc.json",
    "repair": "vclr repair mine/train.json --output mine/repaired.json",
    "audit": "vclr audit --config-file configs/experiment/demo.yaml --output leaks.json",
    "licenses": "vclr licenses --config-file configs/experiment/voc_to_nonvoc.yaml",
    "views": "vclr views --view edge --images mine/images --output mine/edge",
    "views inspect": "vclr views inspect --images mine/images --annotations mine/train.json --view depth=mine/depth "
    "--computed edge --output views.html",
    "proposals": "vclr proposals --images mine/images --annotations mine/train.json --output mine/proposals.json",
    "proposals recall": "vclr proposals recall mine/proposals.json mine/val.json --known person,car",
    "proposals import": "vclr proposals import results.json --annotations mine/train.json "
    "--output mine/imported.json --top-k 10",
    "proposals merge": "vclr proposals merge mine/proposals.json mine/imported.json --annotations mine/train.json "
    "--output mine/merged.json",
    "proposals rank": "vclr proposals rank mine/merged.json --images mine/images --annotations mine/train.json "
    "--output mine/ranked.json",
    "pack": "vclr pack mine/images",
    "import labelme": "vclr import labelme mine/labels --images mine/images --output mine/train.json",
    "import voc": "vclr import voc VOCdevkit/VOC2012 --output mine/train.json",
    "doctor": "vclr doctor",
    "import yolo": "vclr import yolo mine/data.yaml --part train --output mine/train.json",
    "import roboflow": "vclr import roboflow mine/export --part train --output mine/train.json",
    "import cvat": "vclr import cvat mine/annotations.xml --images mine/images --output mine/train.json",
    "import labelstudio": "vclr import labelstudio mine/export.json --images mine/images --output mine/train.json",
    "import via": "vclr import via mine/via_project.json --images mine/images --output mine/train.json",
    "import makesense": "vclr import makesense mine/labels.json --images mine/images --output mine/train.json",
    "import coco": "vclr import coco mine/instances.json --images mine/images --output mine/train.json",
    "doctor data": "vclr doctor data --annotations mine/train.json --images mine/images",
    "doctor slurm": "vclr doctor slurm --no-job",
    "train": "vclr train --config-file configs/small_detector.yaml train.output_dir=runs/mine "
    "data.train.annotations=mine/train.json data.train.images=mine/images",
    "launch": "vclr launch --config-file configs/experiment/demo.yaml --backend local train.output_dir=runs/demo/seed0",
    "evaluate": "vclr evaluate --config-file configs/small_detector.yaml --checkpoint runs/mine/checkpoints/last.pt "
    "--output results/mine data.test.annotations=mine/val.json data.test.images=mine/images",
    "score": "vclr score mine/val.json results/mine/predictions.json",
    "probe": "vclr probe --config-file configs/small_detector.yaml --checkpoint runs/mine/checkpoints/last.pt "
    "--output results/mine data.test.annotations=mine/val.json data.test.images=mine/images",
    "predict": "vclr predict --checkpoint runs/mine/checkpoints/last.pt --output found mine/images/one.png",
    "serve": "vclr serve --checkpoint runs/mine/checkpoints/last.pt --port 8001",
    "export": "vclr export --checkpoint runs/mine/checkpoints/last.pt --format onnx --output mine.onnx",
    "convert": "vclr convert runs/mine/checkpoints/last.pt --to reference --output model_final.pth",
    "compare": "vclr compare results/demo_baseline/seed0 results/demo/seed0",
    "report": "vclr report --experiments mine --output results/report",
    "study": "vclr study --experiments demo_baseline,demo --seeds 0,1,2 --output results/study",
    "bench": "vclr bench step --batch 2 --dtype bfloat16",
    "track sync": "vclr track sync runs/mine",
    "ui": "vclr ui --port 5001",
}


def add_examples(app: typer.Typer, path: str = "") -> None:
    """Append to the help of each verb its example, including the verbs of nested groups."""
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        command.epilog = f"Example: {EXAMPLES[path + name]}"
    for group in app.registered_groups:
        assert group.typer_instance is not None
        if f"{path}{group.name}" in EXAMPLES:  # it works without a verb
            group.epilog = f"Example: {EXAMPLES[f'{path}{group.name}']}"
        add_examples(group.typer_instance, f"{path}{group.name} ")


def example_of(command_path: str) -> str | None:
    """Return the example of `vclr VERB`, or None if there is no such verb."""
    return EXAMPLES.get(command_path.partition(" ")[2])
