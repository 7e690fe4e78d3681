"""Mistakes in targets, names and settings of the workflow: one line that names them, and no traceback."""

from __future__ import annotations

import pytest


def last_line(checkout, *arguments):
    output = checkout.run("snakemake", "--dry-run", "--cores", "1", *arguments, check=False)
    assert "Traceback" not in output and "Exception" not in output
    return output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["demoo"], "demoo: no rule makes this target; nearest: demo"),
        (["results/demo/repot.html"], "results/demo/repot.html: no rule makes this target; `snakemake --list` names"),
        (
            ["results/demoo/seed0/metrics.json"],
            "configs/experiment/demoo.yaml: does not exist; nearest: configs/experiment/demo.yaml",
        ),
        (
            ["--config", "experiments=[demoo]"],
            "experiments: configs/experiment/demoo.yaml: does not exist; nearest: configs/experiment/demo.yaml",
        ),
        (
            ["--config", "untrained=[demo_view]"],
            "untrained: demo_view is not among the experiments; nearest: demo_views",
        ),
        (["--config", "probed=[photos]"], "probed: photos is not among the experiments"),
        (
            ["--config", "compare=[[demo, demo_view]]"],
            "compare: demo_view is not among the experiments; nearest: demo_views",
        ),
        (["--config", "compare=[[demo]]"], "configs/workflow.yaml or --config: compare.0: ['demo'] is too short"),
        (["--config", "untrained=[photos]"], "untrained: photos is not among the experiments"),
        (
            ["--config", "experiments=demo"],
            "configs/workflow.yaml or --config: experiments: 'demo' is not of type 'array'",
        ),
        (["--config", "seed=[1]"], "configs/workflow.yaml or --config: seed: unknown key; nearest: seeds"),
        (
            ["--config", "training_proposals=grph"],
            "training_proposals=grph: no such proposals; nearest: graph",
        ),
        (["--config", "views={depth: dpth}"], "views.depth=dpth: nothing makes this view so; nearest: dpt"),
        (["--config", "views={edge: auto}"], "configs/workflow.yaml or --config: views: Additional properties"),
        (["--config", "shards={views: 0}"], "configs/workflow.yaml or --config: shards.views: '0'"),
        (["--config", "data=~/data"], "configs/workflow.yaml or --config: data: '~/data' does not match"),
        (
            ["--config", "overrides=[data.root=other]"],
            "overrides: data.root=other: the key `data` moves the data folder",
        ),
        (
            ["--config", "overrides=[train.max_itr=3]"],
            "command line: unknown key 'train.max_itr'; nearest: train.max_iter",
        ),
        (
            ["--config", 'overrides=["evaluation.protocols=[nonvoc,uvoo]"]'],
            "evaluation.protocols=uvoo: unknown protocol; nearest: uvo",
        ),
        (
            ["--config", "overrides=[dataloader.train.dataset.names=toy_trian,data.train.annotations='']"],
            "dataloader.train.dataset.names=toy_trian: not in the catalog; nearest: toy_train",
        ),
    ],
)
def test_mistakes_are_one_line(checkout, arguments, line):
    assert last_line(checkout, *arguments).startswith(f"vclr: {line}")


def test_photos_that_are_not_there_are_named(checkout):
    output = checkout.run(
        "snakemake", "data/views/nowhere/edge/manifest.json", "--dry-run", "--cores", "1", check=False
    )
    assert "data/raw/nowhere/images" in output


def test_what_the_file_names_may_be_left_out_on_the_command_line(checkout):
    """`untrained: [demo]` of the file is no mistake of someone who runs another experiment."""
    assert "train" in checkout.plan("all", "--config", "experiments=[demo_baseline]")
