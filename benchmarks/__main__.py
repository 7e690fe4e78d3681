"""Run benchmarks by name: `python -m benchmarks [NAME ...]`, or one of them with its options.

Without a name, those run that take a CPU a few minutes: all but `annotations`, `comparison`, `data_scale`,
`evaluation`, `export`, `scoring`, `cuda`, `waiting`, `proposals`, `maskcut`, `fit_graph`, `tracking` and `tiling`.
"""

from __future__ import annotations

import importlib
import sys
from itertools import takewhile

NAMES = ("step", "inference", "attention", "growth", "loader", "views")
ALSO = (
    "annotations",
    "comparison",
    "data_scale",
    "evaluation",
    "export",
    "scoring",
    "cuda",
    "waiting",
    "proposals",
    "maskcut",
    "fit_graph",
    "tracking",
    "tiling",
)


def main(arguments: list[str]) -> None:
    """Run the benchmarks named by the first arguments; the remaining arguments are options of a single one."""
    names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    for name in names:
        if name not in (*NAMES, *ALSO):
            sys.exit(f"no benchmark {name!r}; there are: {', '.join((*NAMES, *ALSO))}")
    if len(names) != 1 and len(arguments) > len(names):
        sys.exit("options need the name of exactly one benchmark")
    for name in names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main(arguments[len(names) :])


if __name__ == "__main__":
    main(sys.argv[1:])
