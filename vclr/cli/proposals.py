"""The verbs of object proposals: make them, import, merge and rank them, and measure what they find."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vclr.catalog.classes import CLASS_LISTS
from vclr.catalog.proposal_methods import MAX_IOU, MAX_PROPOSALS, PROPOSAL_METHODS
from vclr.cli.checkpoints import CHECKPOINTS, as_path
from vclr.cli.image_folders import PhotoFolder, refuse_beside_join
from vclr.cli.options import Join, Misuse, OutputFile, Quiet, ShardOption, finite, proposal_verbs
from vclr.errors import UsageError
from vclr.outputs import PROPOSALS_STARTS, check_output_file

METHODS = "; ".join(f"{name}: {method.description}" for name, method in PROPOSAL_METHODS.items())
DEFAULTS = ", ".join(f"{method.model} for {name}" for name, method in PROPOSAL_METHODS.items() if method.model)

TopK = Annotated[int, typer.Option(min=1, help="Maximum number of proposals per photo, best first.")]
MinScore = Annotated[float | None, typer.Option(callback=finite, help="Leave out proposals with a lower score.")]


@proposal_verbs.callback(invoke_without_command=True)
def proposals(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", help="File to write.")] = None,
    images: PhotoFolder = None,
    method: Annotated[str, typer.Option(help=f"How to find objects. {METHODS}.")] = "graph",
    annotations: Annotated[Path | None, typer.Option(help="COCO json that lists the photos and their ids.")] = None,
    model: Annotated[
        str, typer.Option(help=f"Model of the Hugging Face hub, or its folder (default: {DEFAULTS}).")
    ] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of the model on the hub.")] = "",
    checkpoint: Annotated[Path | None, typer.Option(help=f"With --method detector: {CHECKPOINTS}.")] = None,
    depth: Annotated[
        Path | None, typer.Option(help="With --method depth_cut: folder of a depth view of the photos.")
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 ...")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="Precision of a model: float32, bfloat16, or auto: bfloat16 where it is fast.")
    ] = "auto",
    batch_size: Annotated[
        int, typer.Option(min=0, help="Number of photos that a model gets at once; 0 for the method's default.")
    ] = 0,
    max_proposals: TopK = MAX_PROPOSALS,
    min_score: MinScore = None,
    num_gpus: Annotated[
        int, typer.Option(min=1, help="Number of processes that share the photos, one per GPU (or on the CPU).")
    ] = 1,
    shard: ShardOption = None,
    join: Join = None,
    keep_work: Annotated[
        bool,
        typer.Option(
            "--keep-work",
            help="Keep the record of finished photos beside the output: with it, the same command later searches only "
            "photos that are new or changed.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Propose objects of any class in photos, without labels.

    After an interruption, the same command continues where it stopped. With --shard K/N, only a part of the photos is
    searched; --join of all N parts gives the same json as one command without shards. See docs/proposals.md.
    """
    if context.invoked_subcommand:
        return
    if output is None:
        raise Misuse("Missing option '--output'.", context)
    from vclr.object_proposals.options import MethodOptions
    from vclr.object_proposals.write import join_proposals, write_proposals

    inputs = {"--images": images, "--annotations": annotations, "--join": join, "--checkpoint": checkpoint}
    check_output_file(output, inputs, starts=PROPOSALS_STARTS)
    if join:
        refuse_beside_join(context)
        join_proposals(join, output)
        return
    if images is None:
        raise UsageError("needs --images FOLDER, or --join PART")
    if num_gpus > 1:
        from vclr.launch.shards import propose_with_processes

        if shard:
            raise UsageError("--num-gpus and --shard: give one of them, not both")
        known = PROPOSAL_METHODS.get(method)
        place = device if known and "device" in known.uses else "cpu"
        raise typer.Exit(propose_with_processes(sys.argv[1:], output, num_gpus, place))
    if checkpoint is not None:
        checkpoint = as_path(checkpoint)
    options = MethodOptions(model, revision, checkpoint, depth, device, dtype, batch_size, max_proposals, min_score)
    open_proposer = None
    if method == "detector":  # it needs what lies above the room of proposals
        from vclr.evaluation import detector_proposals

        open_proposer = detector_proposals.open_proposer
    write_proposals(method, images, output, annotations, quiet, shard, options, open_proposer, keep_work)


@proposal_verbs.command("recall")
def recall(
    proposals: Annotated[Path, typer.Argument(help="COCO json of proposals, or COCO results.")],
    ground_truth: Annotated[Path, typer.Argument(help="COCO json with the annotations.")],
    known: Annotated[
        str,
        typer.Option(
            help="The known classes, which are measured apart from the others, the novel ones: names with commas "
            f"between them, or a list ({', '.join(CLASS_LISTS)})."
        ),
    ] = "",
    iou: Annotated[
        float, typer.Option(callback=finite, help="IoU from which on a proposal finds an object: 0.5, 0.55 ... 0.95.")
    ] = 0.5,
    output: Annotated[Path | None, typer.Option(help="Also write all figures to this file.")] = None,
) -> None:
    """Measure which share of the objects the best 10, 30 and 100 proposals per photo find, and their precision.

    `ar` is the recall averaged over the IoUs from 0.50 to 0.95, `recall` that at --iou, both in percent.
    """
    from vclr.evaluation.proposal_recall import measure_recall
    from vclr.files import write_json
    from vclr.processes import count_cpus
    from vclr.worker_pool import WorkerPool

    if output is not None:
        check_output_file(output, {"PROPOSALS": proposals, "GROUND_TRUTH": ground_truth}, ("iou", "max_proposals"))
    found = measure_recall(proposals, ground_truth, known, iou, WorkerPool(count_cpus()))
    if output is not None:
        write_json(output, found.as_json(), indent=1)
    print(found.describe())


@proposal_verbs.command("import")
def import_results(
    results: Annotated[Path, typer.Argument(help="COCO results, or a COCO json whose annotations have scores.")],
    annotations: Annotated[Path, typer.Option(help="COCO json that lists the photos and their ids.")],
    output: OutputFile,
    top_k: TopK = MAX_PROPOSALS,
    min_score: MinScore = None,
    source: Annotated[str, typer.Option(help="What made them, for the json (default: the file's name).")] = "",
    license: Annotated[str, typer.Option(help="Their license, for the json and `vclr licenses`.")] = "",  # noqa: A002
    quiet: Quiet = False,
) -> None:
    """Import the results of any detector, and the published files of CutLER and v-CLR.

    Of a COCO json, the annotations with a score are the proposals; those without one, its known objects, are left out.
    """
    from vclr.object_proposals.imported import import_proposals

    check_output_file(output, {"RESULTS": results, "--annotations": annotations}, starts=PROPOSALS_STARTS)
    print(import_proposals(results, annotations, output, top_k, min_score, source, license, quiet))


@proposal_verbs.command("merge")
def merge(
    proposals: Annotated[list[Path], typer.Argument(help="Files of proposals; one file is only filtered.")],
    output: OutputFile,
    annotations: Annotated[
        Path | None,
        typer.Option(help="COCO json of known objects: proposals of these are left out, and its photos count."),
    ] = None,
    top_k: TopK = MAX_PROPOSALS,
    max_iou: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="IoU above which two proposals are one object: of masks if both have one, else of boxes.",
        ),
    ] = MAX_IOU,
    min_score: MinScore = None,
    quiet: Quiet = False,
) -> None:
    """Merge proposals of several sources: duplicates and known objects are left out, scores made comparable.

    A score of the merged file depends on how many proposals of its source are better, and on how many sources agree.
    """
    from vclr.object_proposals.merge import merge_proposals

    check_output_file(output, {"PROPOSALS": proposals, "--annotations": annotations}, starts=PROPOSALS_STARTS)
    print(merge_proposals(proposals, output, annotations, top_k, max_iou, min_score, quiet))


@proposal_verbs.command("rank")
def rank(
    proposals: Annotated[Path, typer.Argument(help="COCO json of proposals.")],
    images: Annotated[Path, typer.Option(help="Folder of the photos, or its zip.")],
    annotations: Annotated[
        Path, typer.Option(help="COCO json with the annotations of known objects, in all of the photos or in some.")
    ],
    output: OutputFile,
    top_k: TopK = MAX_PROPOSALS,
    quiet: Quiet = False,
) -> None:
    """Score proposals again by whether they look like the known objects, which a small model learns.

    It looks at shape, edges, colors and surroundings of a proposal, and at its score. After an interruption, the same
    command continues where it stopped.
    """
    from vclr.object_proposals.rank import rank_proposals

    check_output_file(
        output, {"PROPOSALS": proposals, "--images": images, "--annotations": annotations}, starts=PROPOSALS_STARTS
    )
    print(rank_proposals(proposals, images, annotations, output, top_k, quiet))
