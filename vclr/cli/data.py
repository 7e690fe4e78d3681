"""Verbs for data: get it, split it, check it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vclr.catalog.data_sets import PUBLISHED_TOP_SPLITS, SPLITS
from vclr.cli.options import ConfigFile, OutputFile, Overrides, Protocol, Quiet, app, doctor, finite, load_config
from vclr.errors import UsageError, UserError
from vclr.outputs import COCO_KEYS, Inputs, check_output_file

if TYPE_CHECKING:
    from vclr.config import Config

ImageFolders = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of the photos; repeat the option for more folders, which are searched in this order."),
]
REPORT_KEYS = ("findings",)  # of `vclr doctor data --output`


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(help="What to fetch, as SOURCE or SOURCE/PART: toy, coco2017/val2017, owis ...")
    ],
    output: Annotated[Path, typer.Option("--output", help="The data folder.")] = Path("data"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hash all files again, and fetch damaged ones.")] = False,
    packed: Annotated[bool, typer.Option("--packed", help="Do not unpack zips of photos.")] = False,
    keep_packed: Annotated[
        bool, typer.Option("--keep-packed", help="Do not unpack zips of photos that were downloaded before.")
    ] = False,
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Keep archives after they are unpacked.")
    ] = False,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Accept files that differ from data.lock.")
    ] = False,
    commercial_safe: Annotated[
        bool, typer.Option("--commercial-safe", help="Refuse sources that may not be used commercially.")
    ] = False,
    parts: Annotated[int, typer.Option(min=1, max=64, help="Number of simultaneous connections.")] = 4,
    mirror: Annotated[
        str, typer.Option(envvar="VCLR_MIRROR", help="Address of a server with a data folder, tried first.")
    ] = "",
    catalog: Annotated[Path | None, typer.Option(help="YAML file with more sources.")] = None,
    mbit: Annotated[
        float,
        typer.Option(
            min=0.001, callback=finite, help="Megabits per second, for the download time that --dry-run prints."
        ),
    ] = 100.0,
    seed: Annotated[int, typer.Option(help="Seed of the generated scenes.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Fetch data sets and weights by name: download, verify, unpack, record.

    The toy scenes are generated, with the same bytes on every machine.
    """
    from vclr.fetch.fetch import fetch as fetch_sources
    from vclr.fetch.settings import Settings, offline_variable, retry_policy_from_environment
    from vclr.fetch.sources import read_catalog

    def generate(name: str) -> None:
        from vclr.generate.toy import write_toy_world

        assert name == "toy"
        write_toy_world(output, seed=seed, quiet=quiet)

    settings = Settings(
        output=output,
        retry=retry_policy_from_environment(),
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
            help=f"One of {', '.join(SPLITS)}; with the best proposals per image: {', '.join(PUBLISHED_TOP_SPLITS)}."
        ),
    ],
    annotations: Annotated[Path, typer.Option(help="The official json with all classes.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; OUTPUT.record.json is written next to it.")
    ] = None,
    proposals: Annotated[
        Path | None, typer.Option(help=f"COCO json of proposals, for {' and '.join(PUBLISHED_TOP_SPLITS)}.")
    ] = None,
    images: ImageFolders = None,
    train: Annotated[
        Path | None, typer.Option(help="COCO json of a training set; record which images the split shares with it.")
    ] = None,
    train_images: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the training images, to compare bytes and pictures too; may be repeated."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Published json to compare the split with; exit 1 if they differ.")
    ] = None,
    comparison: Annotated[
        Path | None,
        typer.Option(help="Json file for the result of --compare; differences are then no failure, so exit 0."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Restrict the annotations of a json to known or to novel classes.

    A record of the input files, classes and counts is written next to the json.
    """
    from vclr.coco.record import record_path
    from vclr.data.origins import how_to_get
    from vclr.files import write_json
    from vclr.splits.compare import compare_split
    from vclr.splits.record import find_leaks, save_split
    from vclr.splits.split import make_split

    if output is None and compare is None:
        raise UsageError("needs --output FILE, or --compare FILE")
    if comparison is not None and compare is None:
        raise UsageError("--comparison: needs --compare FILE")
    if train is not None and output is None:
        raise UsageError("--train: needs --output FILE, whose record says what is found")
    if train_images and (train is None or not images):
        raise UsageError("--train-images: needs --train FILE and --images FOLDER")
    inputs = {"--annotations": annotations, "--proposals": proposals, "--train": train, "--compare": compare}
    if comparison is not None:
        written = {"--output": output, "the record beside --output": output and record_path(output)}
        check_output_file(comparison, inputs | written, ("differences",), option="--comparison")
    if output is not None:
        _check_output_with_record(output, inputs, "split")
    for path in filter(None, (annotations, compare)):
        if not path.exists() and (how := how_to_get(path)):
            raise UserError(f"{path}: does not exist; {how}")
    made = make_split(name, annotations, proposals, images or None)
    if output is not None:
        leaks = None if train is None else find_leaks(made, images or None, train, train_images or None, quiet)
        print(save_split(made, output, leaks))
        if leaks is not None:
            from vclr.splits.leaks import summarize_leaks

            print(summarize_leaks(leaks))
    if compare is not None:
        found = compare_split(made, compare)
        print("\n".join(found.differences) if found.differences else f"{compare}: is the split {name} of {annotations}")
        if comparison is not None:
            write_json(comparison, found.as_json(made, compare), indent=1)
        raise typer.Exit(int(bool(found.differences) and comparison is None))


@app.command()
def repair(
    annotations: Annotated[Path, typer.Argument(help="The COCO json to repair; it is not changed.")],
    output: Annotated[Path, typer.Option("--output", help="File to write; OUTPUT.record.json is written next to it.")],
) -> None:
    """Write a json without the annotations and polygons that cannot be used; everything else is kept as it is.

    These are polygons under three points or with an odd number of coordinates, annotations that have no other polygon,
    and those with an empty box. Training, evaluation and splits drop the same ones when they read a file.
    """
    from vclr.coco.repair import repair as repair_json
    from vclr.coco.repair import save_repaired, summarize_repair

    _check_output_with_record(output, {"ANNOTATIONS": annotations}, "repaired")
    repaired = repair_json(annotations)
    save_repaired(repaired, output)
    print("\n".join(summarize_repair(repaired, output)))


def _check_output_with_record(output: Path, inputs: Inputs, key: str) -> None:
    """Refuse an output unless it is new, or a record with this key lies next to it."""
    from vclr.coco.record import record_path

    check_output_file(output, inputs, COCO_KEYS)
    check_output_file(record_path(output), inputs, (key,), option="the record beside --output,")
    if output.exists() and not record_path(output).exists():
        what = {"split": "a split", "repaired": "a repaired json"}[key]
        raise UsageError(f"--output {output}: is not {what} (it has no record next to it); choose another name")


@app.command()
def audit(
    output: OutputFile,
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    protocol: Protocol = "",
    quiet: Quiet = False,
) -> None:
    """Find images of the test set that are also in the training set, by name, by bytes, and by what they show."""
    from vclr.data.data_sets import missing_files, test_set, training_set, with_protocol
    from vclr.files import write_json
    from vclr.splits.leaks import audit_leaks, read_photo_set, summarize_leaks

    config = with_protocol(load_config(config_file, overrides or ()), protocol)
    sets = {"train": training_set(config), "test": test_set(config)}
    inputs = {part: data_set.annotations for part, data_set in sets.items()}
    check_output_file(output, {"--config-file": config_file, **inputs}, ("leaked_images",))
    for part, data_set in sets.items():
        if problem := missing_files(replace(data_set, proposals=""), part):  # an audit does not need them
            raise UserError(problem)
    photos = {part: read_photo_set(data_set.annotations, data_set.images) for part, data_set in sets.items()}
    leaks = audit_leaks(photos["train"], photos["test"], quiet)
    write_json(output, leaks, indent=1)
    print(summarize_leaks(leaks))


@doctor.command("data")
def doctor_data(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO json to check instead of a configuration.")] = None,
    images: ImageFolders = None,
    view: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER of a view; may be repeated.")] = None,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Decode every image completely, or read only its size.")
    ] = True,
    limit: Annotated[int, typer.Option(min=0, help="Number of findings of each kind to print.")] = 20,
    output: Annotated[Path | None, typer.Option(help="Write all findings to this json file.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Number of worker processes; 0 for one per CPU.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Check a data set; list everything that is wrong with it and the consequences; exit 1 if anything is wrong.

    This checks either the training set and the test set of a configuration, as `vclr train` reads them, with views,
    proposals and groups of classes, or the files that --annotations and --images name.
    """
    from vclr.data.doctor.check import DataSet, check_config, check_files
    from vclr.files import write_json
    from vclr.finding import print_groups
    from vclr.processes import count_cpus
    from vclr.worker_pool import WorkerPool

    pool = WorkerPool(workers or count_cpus(), quiet)
    if annotations is None and not images and not view:
        if config_file is None and not overrides:
            raise UsageError("needs --annotations FILE and --images FOLDER, or --config-file FILE or key=value")
        config = load_config(config_file, overrides or ())
        if output is not None:
            check_output_file(output, {"--config-file": config_file, **_named_files(config)}, REPORT_KEYS)
        report = check_config(config, pool, decode)
    else:
        if annotations is None or not images or config_file is not None or overrides:
            raise UsageError("--annotations FILE and --images FOLDER go together, and without a configuration")
        if output is not None:
            check_output_file(output, {"--annotations": annotations, "--images": images}, REPORT_KEYS)
        report = check_files(DataSet(annotations, images, folders_by_name(view or [])), pool, decode)
    if output is not None:
        write_json(output, report.as_json(), indent=1)
    print_groups(report.findings, limit)
    print(report.summarize())
    raise typer.Exit(int(report.num_errors > 0))


def _named_files(config: Config) -> dict[str, str]:
    """Return the annotations and proposals files of a configuration, by the name of the setting."""
    sets = {"train": config.data.train, "test": config.data.test}
    files = {f"data.{part}.annotations": data_set.annotations for part, data_set in sets.items()}
    return {**files, "data.train.proposals": config.data.train.proposals}


def folders_by_name(options: list[str]) -> dict[str, Path]:
    """Return the folders of views that options say as NAME=FOLDER."""
    folders: dict[str, Path] = {}
    for option in options:
        name, _, folder = option.partition("=")
        if not name or not folder:
            raise UsageError(f"--view {option}: must be NAME=FOLDER")
        if name in folders:
            raise UsageError(f"--view {option}: {name} is also given as {folders[name]}; give one of them another name")
        folders[name] = Path(folder)
    return folders
