"""Verbs that work on a folder of photos: they make views or a zip."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vclr.catalog.depth_models import DEPTH_KINDS
from vclr.catalog.views import COMPUTED_VIEWS, DEPTH, LAYOUTS, PRODUCERS
from vclr.cli.options import Join, Misuse, Quiet, ShardOption, app, finite, view_verbs
from vclr.errors import UsageError
from vclr.outputs import check_output_folder

WITH_JOIN = ("join", "output", "overwrite", "quiet")  # options of a command that joins shards

PhotoFolder = Annotated[Path | None, typer.Option(help="Folder of photos, or its zip.")]


@view_verbs.callback(invoke_without_command=True)
def views(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", help="Folder to write.")] = None,
    view: Annotated[
        str, typer.Option(help=f"Name of the view: {', '.join(dict.fromkeys([*COMPUTED_VIEWS, *PRODUCERS]))}.")
    ] = "",
    images: PhotoFolder = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FOLDER",
            help=f"What renders the view depth: {'; '.join(map(': '.join, PRODUCERS[DEPTH].items()))}; or any depth "
            "model of the Hugging Face hub, or a folder with its files.",
        ),
    ] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of a model of the hub.")] = "",
    depth_kind: Annotated[
        str,
        typer.Option(
            metavar="|".join(DEPTH_KINDS),
            help=f"What the values of a depth model are, if it is an unknown one. "
            f"{'; '.join(map(': '.join, DEPTH_KINDS.items()))}.",
        ),
    ] = "",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Published weights: folder of AdaIN's, for the view style; file of HED's, for a learned edge."
        ),
    ] = None,
    styles: Annotated[
        Path | None,
        typer.Option(
            help="Folder of pictures, or its zip, whose styles the view style uses (default: generated textures)."
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(callback=finite, help="Strength of the style, from 0 to 1 (default: 1).", show_default=False),
    ] = None,
    max_size: Annotated[
        int,
        typer.Option(
            min=0,
            show_default=False,
            help="Longer side, in pixels, at which the view style (default: 512) or edge (1024) sees larger photos.",
        ),
    ] = 0,
    device: Annotated[str, typer.Option(help="Where a model runs: auto, cpu, cuda or cuda:NUMBER.")] = "auto",
    dtype: Annotated[
        str,
        typer.Option(help="Number format of a model: auto (depth: bfloat16 where it is fast), float32 or bfloat16."),
    ] = "auto",
    batch_size: Annotated[
        int, typer.Option(min=0, help="Photos that a model processes at a time (default: 8 on a GPU, else 1).")
    ] = 0,
    layout: Annotated[
        str, typer.Option(metavar="|".join(LAYOUTS), help=f"{'; '.join(map(': '.join, LAYOUTS.items()))}.")
    ] = "",
    num_gpus: Annotated[
        int, typer.Option(min=1, help="Number of processes that share the photos, one per GPU (or on the CPU).")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the views that are random, combined with each photo's name.")] = 0,
    shard: ShardOption = None,
    join: Join = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output even if it contains files but no manifest.json.")
    ] = False,
    keep_work: Annotated[
        bool,
        typer.Option(
            "--keep-work",
            help="Keep the record of finished photos beside the output: with it, the same command later verifies all "
            "files, and renders only photos that are new or changed, or whose file is missing or damaged.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Render a folder of photos in another view with the same geometry.

    After an interruption, the same command continues where it stopped. A photo that cannot be rendered is left out and
    listed in manifest.json. With --shard K/N, only a part of the photos is rendered; --join of all N parts gives the
    same folder as one command without shards.
    """
    if context.invoked_subcommand:
        return
    if output is None:
        raise Misuse("Missing option '--output'.", context)
    from vclr.views.renderer import RenderOptions
    from vclr.views.write import join_views, write_views

    check_output_folder(output, {})
    if join:
        refuse_beside_join(context)
        join_views(join, output, overwrite)
        return
    if not view or images is None:
        raise UsageError("needs --view VIEW and --images FOLDER, or --join PART")
    options = RenderOptions(
        model=model,
        revision=revision,
        weights=weights,
        styles=styles,
        alpha=alpha,
        max_size=max_size,
        depth_kind=depth_kind,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
    )
    if num_gpus > 1:
        from vclr.launch.shards import render_with_processes

        if shard:
            raise UsageError("--num-gpus and --shard: give one of them, not both")
        raise typer.Exit(render_with_processes(sys.argv[1:], images, output, num_gpus, options, overwrite))
    write_views(view, images, output, seed, quiet, shard, overwrite, options, layout, keep_work)


def refuse_beside_join(context: typer.Context) -> None:
    """Refuse options that are given beside `--join` and do not apply to it."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in WITH_JOIN and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--join and --{name.replace('_', '-')}: give one of them, not both")


@app.command()
def pack(
    folders: Annotated[list[Path], typer.Argument(help="Folders of photos or views.")],
    remove: Annotated[bool, typer.Option("--remove", help="Delete each folder once its zip is safe.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a zip that holds something else.")] = False,
    quiet: Quiet = False,
) -> None:
    """Pack each folder into FOLDER.zip: one file for DVC, which every command reads in place of the folder.

    The same files give the same zip on every machine. `unzip FOLDER.zip -d FOLDER` unpacks it again.
    """
    from vclr.generate.pack import pack_folder

    for folder in folders:
        print(pack_folder(folder, remove, overwrite, quiet))
