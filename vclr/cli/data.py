"""Verbs for data: get it, split it, check it, make views and proposals of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vclr.cli.options import ConfigFile, Join, Output, Overrides, Quiet, ShardOption, app, doctor, importers
from vclr.config import Config, load_config
from vclr.errors import UsageError, UserError
from vclr.outputs import COCO_KEYS, check_output_file, check_output_folder

REPORT_KEYS = ("findings",)  # of `vclr doctor data --output`


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="SOURCE or SOURCE/PART: toy, coco2017, lvis/images, owis ...")],
    output: Annotated[Path, typer.Option("--output", help="The data folder.")] = Path("data"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and what it takes.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hash what is there; fetch what is damaged.")] = False,
    packed: Annotated[bool, typer.Option("--packed", help="Leave zips of photos as they are.")] = False,
    keep_packed: Annotated[
        bool, typer.Option("--keep-packed", help="Leave zips of photos that are there as they are.")
    ] = False,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Also once they are unpacked.")] = False,
    update_lock: Annotated[bool, typer.Option("--update-lock", help="Accept other files than data.lock has.")] = False,
    commercial_safe: Annotated[
        bool, typer.Option("--commercial-safe", help="Refuse what may not be used commercially.")
    ] = False,
    parts: Annotated[int, typer.Option(min=1, max=64, help="Connections at once.")] = 4,
    mirror: Annotated[
        str, typer.Option(envvar="VCLR_MIRROR", help="Address that has the data folder; tried first.")
    ] = "",
    catalog: Annotated[Path | None, typer.Option(help="YAML with more sources.")] = None,
    mbit: Annotated[
        float, typer.Option(min=0.001, help="Megabits a second, for the time that --dry-run says.")
    ] = 100.0,
    seed: Annotated[int, typer.Option(help="Of the generated scenes.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Get data sets and weights by name: download, verify, unpack, record.

    The toy scenes are generated: the same bytes on every machine.
    """
    from vclr.fetch.fetch import fetch as fetch_sources
    from vclr.fetch.patience import patience_from_environment
    from vclr.fetch.settings import Settings, offline_variable
    from vclr.fetch.sources import read_catalog

    def generate(name: str) -> None:
        from vclr.generate.toy import write_toy_world

        assert name == "toy"
        write_toy_world(output, seed=seed, quiet=quiet)

    settings = Settings(
        output=output,
        patience=patience_from_environment(),
        parts=parts,
        mirror=mirror,
        packed=packed,
        keep_packed=keep_packed,
        keep_archives=keep_archives,
        update_lock=update_lock,
        verify=verify,
        quiet=quiet,
        offline=offline_variable(),
    )
    fetch_sources(names, read_catalog(catalog), settings, generate, dry_run, mbit, commercial_safe)


@app.command()
def split(
    name: Annotated[
        str,
        typer.Argument(
            help="voc, nonvoc, coco, toy_known, toy_novel, lvis_noncoco, uvo_nonvoc, objects365_noncoco, one_class; "
            "with the best proposals of each image voc_top10, coco_top5."
        ),
    ],
    annotations: Annotated[Path, typer.Option(help="The official json with all classes.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; OUTPUT.record.json is written next to it.")
    ] = None,
    proposals: Annotated[Path | None, typer.Option(help="COCO json of proposals, for voc_top10 and coco_top5.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder in which the images must be.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="COCO json of a training set; record which images the split shares with it.")
    ] = None,
    train_images: Annotated[Path | None, typer.Option(help="Its folder: compare bytes and pictures too.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Published json to compare the split with; exit 1 if they differ.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Restrict the annotations of a json to known or to novel classes.

    A record of the input files, classes and counts is written next to the json.
    """
    from vclr.splits.compare import compare_split
    from vclr.splits.record import find_leaks, record_path, save_split
    from vclr.splits.split import make_split

    if output is None and compare is None:
        raise UsageError("needs --output FILE, or --compare FILE")
    if train is not None and output is None:
        raise UsageError("--train: what it finds goes into the record of --output FILE")
    if train_images is not None and (train is None or images is None):
        raise UsageError("--train-images: needs --train FILE and --images FOLDER")
    if output is not None:
        inputs = {"--annotations": annotations, "--proposals": proposals, "--train": train, "--compare": compare}
        check_output_file(output, inputs, COCO_KEYS)
        check_output_file(record_path(output), inputs, ("split",), option="the record beside --output,")
        if output.exists() and not record_path(output).exists():
            raise UsageError(f"--output {output}: is not a split (it has no record next to it); choose another name")
    made = make_split(name, annotations, proposals, images)
    if output is not None:
        leaks = None if train is None else find_leaks(made, images, train, train_images, quiet)
        print(save_split(made, output, leaks))
        if leaks is not None:
            from vclr.splits.leaks import summarize_leaks

            print(summarize_leaks(leaks))
    if compare is not None:
        differences = compare_split(made, compare)
        print("\n".join(differences) if differences else f"{compare}: is the split {name} of {annotations}")
        raise typer.Exit(int(bool(differences)))


@app.command()
def audit(
    output: Output,
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    protocol: Annotated[str, typer.Option(help="Whose test set to look at, if not evaluation.protocol's.")] = "",
    quiet: Quiet = False,
) -> None:
    """Find the images of the evaluated set that the training set holds: by name, by bytes, by what they show."""
    from vclr.data.data_sets import missing_files, test_set, training_set, with_protocol
    from vclr.files import write_json
    from vclr.splits.leaks import audit_leaks, read_photo_set, summarize_leaks

    config = with_protocol(load_config(config_file, overrides or ()), protocol)
    sets = {"train": training_set(config), "test": test_set(config)}
    inputs = {part: data_set.annotations for part, data_set in sets.items()}
    check_output_file(output, {"--config-file": config_file, **inputs}, ("leaked_images",))
    for part, data_set in sets.items():
        if problem := missing_files(replace(data_set, proposals=""), part):  # which nothing is asked of here
            raise UserError(problem)
    photos = {part: read_photo_set(data_set.annotations, data_set.images) for part, data_set in sets.items()}
    leaks = audit_leaks(photos["train"], photos["test"], quiet)
    write_json(output, leaks, indent=1)
    print(summarize_leaks(leaks))


@app.command()
def licences(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    commercial_safe: Annotated[
        bool, typer.Option("--commercial-safe", help="Refuse, with exit 1, what may not be used commercially.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List the data, weights, proposals and views of an experiment with their terms; without one, of all sources.

    Photos count by the licence that their json gives each of them. The terms of own data stand in a licence.yaml in
    their folder: `name`, `commercial: true|false`, `because`, maybe `url`.
    """
    from vclr.report.licenses import catalog_terms, refuse_unsafe, terms_in_use

    has_experiment = config_file is not None or overrides
    terms = terms_in_use(load_config(config_file, overrides or ())) if has_experiment else catalog_terms()
    print(json.dumps([asdict(term) for term in terms], indent=1) if as_json else "\n".join(map(str, terms)))
    if commercial_safe:
        refuse_unsafe(terms)


@importers.command("labelme")
def import_labelme_files(
    folder: Annotated[Path, typer.Argument(help="Of the json files.")],
    output: Output,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos, if another; those that are not in it yet come there.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Polygons, rectangles, circles and masks of labelme; shapes of one label and one group are one object."""
    from vclr.generate.importers.labelme import import_labelme

    check_output_file(output, {}, COCO_KEYS)  # which labelme's json have not
    print(import_labelme(folder, output, images, quiet))


@importers.command("voc")
def import_voc_pictures(
    output: Output,
    folder: Annotated[
        Path | None, typer.Argument(help="With JPEGImages, SegmentationObject and SegmentationClass.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the photos, if another.")] = None,
    masks: Annotated[
        Path | None, typer.Option(help="PNG whose values number the objects: 0 background, the highest no object.")
    ] = None,
    classes: Annotated[Path | None, typer.Option(help="PNG of the same names whose values number the classes.")] = None,
    quiet: Quiet = False,
) -> None:
    """Pictures of instances, in the layout of PASCAL VOC or in folders of their own."""
    from vclr.generate.importers.voc import import_voc

    check_output_file(output, {}, COCO_KEYS)
    print(import_voc(folder, output, images, masks, classes, quiet))


@app.command()
def views(
    output: Output,
    view: Annotated[str, typer.Option(help="edge, palette, fourier, random_conv or pseudo_depth.")] = "",
    images: Annotated[Path | None, typer.Option(help="Folder of photos, or its zip.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random ones, together with each photo's name.")] = 0,
    shard: ShardOption = None,
    join: Join = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output also where it holds files but no manifest.json.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Render a folder of photos in another view with the same geometry.

    With --shard K/N it is a part of the photos. --join of all N parts makes the folder that there is without shards.
    """
    from vclr.views.write import join_views, write_views

    check_output_folder(output, {})
    if join:
        _refuse_beside_join(view=view, images=images, seed=seed, shard=shard)
        join_views(join, output, overwrite)
        return
    if not view or images is None:
        raise UsageError("needs --view VIEW and --images FOLDER, or --join PART")
    write_views(view, images, output, seed, quiet, shard, overwrite)


@app.command()
def proposals(
    output: Output,
    images: Annotated[Path | None, typer.Option(help="Folder of photos, or its zip.")] = None,
    method: Annotated[str, typer.Option(help="graph: graph-based segmentation, no weights.")] = "graph",
    annotations: Annotated[Path | None, typer.Option(help="COCO json that names the photos and their ids.")] = None,
    shard: ShardOption = None,
    join: Join = None,
    quiet: Quiet = False,
) -> None:
    """Propose objects of any class in photos, without labels.

    With --shard K/N it is a part of the photos. --join of all N parts makes the json that there is without shards.
    """
    from vclr.object_proposals.graph import join_proposals, write_proposals

    inputs = {"--images": images, "--annotations": annotations, "--join": join}
    check_output_file(output, inputs, ("shard", *COCO_KEYS))
    if join:
        _refuse_beside_join(images=images, annotations=annotations, shard=shard)
        join_proposals(join, output)
        return
    if images is None:
        raise UsageError("needs --images FOLDER, or --join PART")
    write_proposals(method, images, output, annotations, quiet, shard)


def _refuse_beside_join(**options: Any) -> None:
    for name, value in options.items():
        if value:
            raise UsageError(f"--join and --{name}: one of them, not both")


@app.command()
def pack(
    folders: Annotated[list[Path], typer.Argument(help="Folders of images or views.")],
    remove: Annotated[bool, typer.Option("--remove", help="Delete each folder, once its zip is safe.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a zip that holds something else.")] = False,
    quiet: Quiet = False,
) -> None:
    """Pack each folder into FOLDER.zip, which stands for it wherever a folder of images is read: one file for DVC.

    The same files give the same zip on every machine. `unzip FOLDER.zip -d FOLDER` is the way back.
    """
    from vclr.generate.pack import pack_folder

    for folder in folders:
        print(pack_folder(folder, remove, overwrite, quiet))


@doctor.command("data")
def doctor_data(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO json, instead of a configuration.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of its photos.")] = None,
    view: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER of a view, as many as needed.")] = None,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Read every pixel; else only the size of each image.")
    ] = True,
    limit: Annotated[int, typer.Option(min=0, help="Findings of each kind that are printed.")] = 20,
    output: Annotated[Path | None, typer.Option(help="Write all findings here as json.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: as many as there are CPUs.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Check a data set and list all that is wrong with it, and what becomes of each thing; exit 1 if anything is.

    It is the training set and the test set of a configuration, as `vclr train` takes it, with views, proposals and
    groups of classes; or the files that --annotations and --images name.
    """
    from vclr.data.doctor.check import DataSet, check_config, check_files
    from vclr.files import write_json
    from vclr.finding import print_groups
    from vclr.processes import count_cpus
    from vclr.worker_pool import WorkerPool

    pool = WorkerPool(workers or count_cpus(), quiet)
    if annotations is None and images is None and not view:
        if config_file is None and not overrides:
            raise UsageError("needs --annotations FILE and --images FOLDER, or --config-file FILE or key=value")
        config = load_config(config_file, overrides or ())
        if output is not None:
            check_output_file(output, {"--config-file": config_file, **_named_files(config)}, REPORT_KEYS)
        report = check_config(config, pool, decode)
    else:
        if annotations is None or images is None or config_file is not None or overrides:
            raise UsageError("--annotations FILE and --images FOLDER go together, and without a configuration")
        if output is not None:
            check_output_file(output, {"--annotations": annotations, "--images": images}, REPORT_KEYS)
        report = check_files(DataSet(annotations, images, _folders_by_name(view or [])), pool, decode)
    if output is not None:
        write_json(output, report.as_json(), indent=1)
    print_groups(report.findings, limit)
    print(report.summarize())
    raise typer.Exit(int(report.num_errors > 0))


def _named_files(config: Config) -> dict[str, str]:
    """Return the annotations and proposals files of a configuration, by setting."""
    sets = {"train": config.data.train, "test": config.data.test}
    files = {f"data.{part}.annotations": data_set.annotations for part, data_set in sets.items()}
    return {**files, "data.train.proposals": config.data.train.proposals}


def _folders_by_name(options: list[str]) -> dict[str, Path]:
    folders = {}
    for option in options:
        name, _, folder = option.partition("=")
        if not name or not folder:
            raise UsageError(f"--view {option}: must be NAME=FOLDER")
        folders[name] = Path(folder)
    return folders
