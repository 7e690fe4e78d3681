"""Write down what the reference's two config files and its README's commands set: vclr/interop/reference_configs.json.

`python -m docs.reference_configs CHECKOUT` evaluates the config files in a checkout of the reference, as
`vclr convert --config` does.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path
from typing import Any

from vclr.interop.lazy_config import read_lazy_config
from vclr.interop.reference_settings import FACTS

CONFIGS = "projects/vCLR_deformable_mask/configs/dino-resnet"
FILES = {
    "voc_to_nonvoc": f"{CONFIGS}/deformable_train_voc_eval_nonvoc.py",
    "coco_to_lvis": f"{CONFIGS}/deformable_train_coco_eval_lvis.py",
}


def read_commands(readme: str) -> list[tuple[str, dict[str, str]]]:
    """Return each training or evaluation command of the README: its config file and its overrides."""
    commands = []
    for block in re.findall(r"```\n(python projects/train_net\.py.*?)```", readme, flags=re.DOTALL):
        words = shlex.split(re.sub(r"(#.*)?\\?\n", " ", block))
        overrides = dict(word.split("=", 1) for word in words if re.match(r"[a-z][\w.]*=", word))
        commands.append((words[words.index("--config-file") + 1], overrides))
    return commands


def read_facts(checkout: Path) -> dict[str, Any]:
    """Return what is written to docs/reference_configs.json."""
    commands = read_commands((checkout / "README.md").read_text(encoding="utf-8"))
    stems = {file: name for name, file in FILES.items()}
    return {
        "config files": {name: read_lazy_config(checkout / file) for name, file in FILES.items()},
        "README, training": {stems[file]: overrides for file, overrides in commands if file in stems},
        "README, evaluation": [overrides for file, overrides in commands if file not in stems],
    }


def main() -> None:
    """Write the facts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="A checkout of github.com/Visual-AI/vCLR.")
    facts = read_facts(parser.parse_args().checkout)
    FACTS.write_text(f"{json.dumps(facts, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
