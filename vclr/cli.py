"""The command `vclr`: one verb each for what the platform does. What a verb needs is imported when it runs."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vclr import __version__
from vclr.config import Config, load_config
from vclr.errors import UsageError, UserError, explain
from vclr.progress import start_logging
from vclr.shards import Shard, parse_shard

app = typer.Typer(
    help="View-consistent learning for open-world instance segmentation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

doctor = typer.Typer(help="Find out what is wrong before a training does.", no_args_is_help=True)
app.add_typer(doctor, name="doctor")

importers = typer.Typer(help="Make a COCO json of the annotations of another tool.", no_args_is_help=True)
app.add_typer(importers, name="import")

ConfigFile = Annotated[Path | None, typer.Option("--config-file", help="YAML with the differences from the defaults.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, as many as needed; see configs/README.md.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Output = Annotated[Path, typer.Option("--output", help="Where to write.")]
Join = Annotated[list[Path] | None, typer.Option("--join", help="What a shard wrote, once for each: make it one.")]
ShardOption = Annotated[
    Shard | None,
    typer.Option("--shard", metavar="K/N", parser=parse_shard, help="Only the K-th of N blocks of the images."),
]


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="SOURCE or SOURCE/PART: toy, coco2017, lvis/images, owis ...")],
    output: Annotated[Path, typer.Option("--output", help="The data folder.")] = Path("data"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and what it takes.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hash what is there; fetch what is damaged.")] = False,
    packed: Annotated[bool, typer.Option("--packed", help="Leave zips of photos as they are.")] = False,
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
    from vclr.fetch.plan import Settings, offline_variable
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
        Path | None, typer.Option("--output", help="Where to write; OUTPUT.record.json beside it.")
    ] = None,
    proposals: Annotated[Path | None, typer.Option(help="COCO json of proposals, for voc_top10 and coco_top5.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder in which the images must be.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="COCO json of a training set: record which images it holds.")
    ] = None,
    train_images: Annotated[Path | None, typer.Option(help="Its folder: compare bytes and pictures too.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Say where this published json differs; exit 1 if it does.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Restrict a json of annotations to known or to novel classes.

    Beside the json is a record of the files, classes and counts.
    """
    from vclr.splits.compare import compare_split
    from vclr.splits.record import find_leaks, save_split
    from vclr.splits.split import make_split

    if output is None and compare is None:
        raise UsageError("needs --output FILE, or --compare FILE")
    if train is not None and output is None:
        raise UsageError("--train: what it finds goes into the record of --output FILE")
    if train_images is not None and (train is None or images is None):
        raise UsageError("--train-images: needs --train FILE and --images FOLDER")
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
    quiet: Quiet = False,
) -> None:
    """Find the images of the evaluated set that the training set holds: by name, by bytes, by what they show."""
    from vclr.data.catalog import missing_files, test_set, training_set
    from vclr.files import write_json
    from vclr.splits.leaks import audit_leaks, read_photo_set, summarize_leaks

    config = load_config(config_file, overrides or ())
    sets = {"train": training_set(config), "test": test_set(config)}
    for part, data_set in sets.items():
        if problem := missing_files(data_set, part):
            raise UserError(problem)
    photos = {part: read_photo_set(data_set.annotations, data_set.images) for part, data_set in sets.items()}
    leaks = audit_leaks(photos["train"], photos["test"], quiet)
    write_json(output, leaks, indent=1)
    print(summarize_leaks(leaks))


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
    from vclr.generate.views import join_views, write_views

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
    from vclr.generate.object_proposals import join_proposals, write_proposals

    if join:
        _refuse_beside_join(images=images, annotations=annotations, shard=shard)
        join_proposals(join, output)
        return
    if images is None:
        raise UsageError("needs --images FOLDER, or --join PART")
    write_proposals(method, images, output, annotations, quiet, shard)


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


@app.command()
def train(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    num_gpus: Annotated[int, typer.Option(help="Processes, one a GPU (or on the CPU: `train.device`).")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training in train.output_dir.")] = False,
    eval_only: Annotated[bool, typer.Option("--eval-only", help="Evaluate train.init_checkpoint instead.")] = False,
    replay: Annotated[Path | None, typer.Option(help="Take the step in a nonfinite-N.pt again instead.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a detector.

    SIGTERM, SIGUSR1 and SIGUSR2 make it save after the step it is in and exit with 75, which says "start me again, with
    --resume". So does Ctrl-C, with 130; a second Ctrl-C stops at once and leaves the last checkpoint. docs/resume.md.
    """
    if replay is not None:
        from vclr.engine.replay import replay as take_again

        take_again(replay, load_config(config_file, overrides or ()).train.device)
        return
    config = load_config(config_file, overrides or ())
    if num_gpus < 0:
        raise UsageError(f"--num-gpus {num_gpus}: must not be negative")
    if eval_only:
        if not config.train.init_checkpoint:
            raise UsageError("--eval-only: needs train.init_checkpoint=FILE")
        _evaluate(config, Path(config.train.init_checkpoint), Path(config.train.output_dir), quiet)
        return
    if num_gpus > 1 and "WORLD_SIZE" not in os.environ:
        from vclr.launch.spawn import run_processes

        raise typer.Exit(run_processes(sys.argv[1:], num_gpus))
    from vclr.engine.train import train as run_training

    run_training(config, resume=resume, quiet=quiet)


@app.command()
def launch(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    backend: Annotated[str, typer.Option(help="slurm, local or debug: short for launcher.backend=.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Submit, and do not wait for the end.")] = False,
) -> None:
    """Train on a SLURM cluster, or here: submit the training, follow it, and submit it again where it is interrupted.

    The same command finds its job again wherever it was stopped, and does nothing for a training that is done. Ctrl-C
    cancels the job, which saves first (launcher.on_interrupt=detach leaves it); any other end of this command leaves
    it running. What the job asks for are the settings `launcher.*`: docs/slurm.md.
    """
    from vclr.launch.launch import launch as run_launch

    chosen = [f"launcher.backend={backend}"] if backend else []
    run_launch(load_config(config_file, [*chosen, *(overrides or ())]), detach)


@app.command()
def evaluate(
    output: Output,
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights; without it the untrained model.")] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Evaluate this file instead: results, or proposals. Several: the results of all shards."),
    ] = None,
    shard: ShardOption = None,
    protocol: Annotated[str, typer.Option(help="A group of the configuration's, or a published one.")] = "",
    quiet: Quiet = False,
) -> None:
    """Evaluate a detector: metrics.json and predictions.json.

    With --shard K/N it is predictions.json alone, of a block of whole batches (dataloader.test.batch_size). Those of
    all N, each after a --predictions, are then evaluated together, as if there had been no shards.
    """
    config = load_config(config_file, [*(overrides or ()), *([f"evaluation.protocol={protocol}"] if protocol else [])])
    if not predictions:
        _evaluate(config, checkpoint, output, quiet, shard)
        return
    if checkpoint is not None or shard:
        other = "--checkpoint" if checkpoint is not None else "--shard"
        raise UsageError(f"--predictions and {other}: one of them, not both")
    from vclr.evaluation.evaluate import evaluate_file, evaluate_parts

    if len(predictions) > 1:
        _print_groups(evaluate_parts(predictions, config, output))
    else:
        _print_groups(evaluate_file(predictions[0], config, output))


def _evaluate(config: Config, checkpoint: Path | None, output: Path, quiet: bool, shard: Shard | None = None) -> None:
    import torch

    from vclr.evaluation.evaluate import evaluate as run_evaluation
    from vclr.evaluation.evaluate import evaluate_shard
    from vclr.models.build import build_model
    from vclr.models.weights import load_weights
    from vclr.ops.device import choose_device

    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    model = build_model(config).to(choose_device(config.train.device))
    if checkpoint is not None:
        report = load_weights(model, checkpoint, config.train.model_ema.use_ema_weights_for_eval_only, strict=True)
        logging.getLogger("vclr").info("%s: %s", checkpoint, report)
    if shard is not None:
        print(evaluate_shard(model, config, output, shard, quiet))
    else:
        _print_groups(run_evaluation(model, config, output, quiet))


@app.command()
def score(
    ground_truth: Annotated[Path, typer.Argument(help="COCO json.")],
    predictions: Annotated[Path, typer.Argument(help="COCO results json.")],
    output: Annotated[Path | None, typer.Option(help="Write the metrics here too.")] = None,
) -> None:
    """Compute the metrics of a results file, class-agnostic, in percent."""
    from vclr.evaluation.recall import score as compute
    from vclr.files import write_json

    metrics = compute(ground_truth, predictions)
    if output is not None:
        write_json(output, metrics, indent=1)
    print(json.dumps(metrics, indent=1))


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Photos.")],
    checkpoint: Annotated[Path, typer.Option(help="A training's, or weights of the reference.")],
    output: Output,
    min_score: Annotated[float, typer.Option(help="Draw objects from this score on; the json holds all.")] = 0.3,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
    config_file: Annotated[
        Path | None, typer.Option("--config-file", help="For weights without a configuration; else the published one.")
    ] = None,
) -> None:
    """Find the objects of photos: a json and an overlay picture for each."""
    from vclr.evaluation.predict import predict_files

    predict_files(images, checkpoint, output, min_score, device, config_file)


@app.command(name="convert")
def convert_weights(
    source: Annotated[Path, typer.Argument(help="Weights: ours, the reference's, a backbone's (.pth, .pkl).")],
    output: Output,
    overrides: Overrides = None,
    to: Annotated[str, typer.Option(help="vclr or reference.")] = "vclr",
    config_file: ConfigFile = None,
) -> None:
    """Bring weights, or a half-done training, from the reference or to it, and pretrained backbones here."""
    from vclr.engine.convert import convert

    print(f"{output}: {convert(source, output, to, config_file, overrides or ())}")


@app.command()
def report(
    output: Output,
    experiments: Annotated[str, typer.Option(help="Names, separated by commas.")],
    seeds: Annotated[str, typer.Option(help="Numbers, separated by commas.")] = "0",
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    title: Annotated[str, typer.Option(help="Heading.")] = "Experiments",
) -> None:
    """Compare experiments: report.html (one file) and summary.json."""
    from vclr.evaluation.report import write_report

    print(write_report(experiments.split(","), _numbers(seeds), runs, results, output, title))


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
    from dataclasses import asdict

    from vclr.evaluation.licences import catalog_terms, refuse_unsafe, terms_in_use

    has_experiment = config_file is not None or overrides
    terms = terms_in_use(load_config(config_file, overrides or ())) if has_experiment else catalog_terms()
    print(json.dumps([asdict(term) for term in terms], indent=1) if as_json else "\n".join(map(str, terms)))
    if commercial_safe:
        refuse_unsafe(terms)


@app.command()
def study(
    output: Output,
    experiments: Annotated[str, typer.Option(help="Names, separated by commas; the baseline first.")],
    seeds: Annotated[str, typer.Option(help="Numbers, separated by commas.")],
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
) -> None:
    """Compare experiments over several seeds: means, spread, paired tests."""
    from vclr.evaluation.study import write_study

    write_study(experiments.split(","), _numbers(seeds), runs, results, output)
    print((output / "study.md").read_text(encoding="utf-8"))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="step, inference, attention or loader.")],
    overrides: Overrides = None,
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH; by default 384x512 (step) or 480x640.")] = None,
    queries: Annotated[int | None, typer.Option(help="By default 300 (step) or 900.")] = None,
    objects: Annotated[int | None, typer.Option(help="In each image of a step; by default 10.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images at once; by default 1.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 (default), bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, or auto (default): CUDA where there is one.")] = None,
    runs: Annotated[int | None, typer.Option(help="That are timed; by default 5.")] = None,
    threads: Annotated[int | None, typer.Option(help="Of torch on the CPU; 0 (default): as it chooses.")] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Step: keep no activations of encoder and decoder.")
    ] = False,
    micro_batch: Annotated[
        int | None, typer.Option(help="Step: images that go through the model at once; 0 (default): all.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Attention: gather or grid_sample; by default the device's own.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Loader: processes that make batches; by default 2.")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibration/--no-calibration", help="Measure the machine itself afterwards.")
    ] = True,
    config_file: Annotated[
        Path | None, typer.Option("--config-file", help="Another architecture, or the loader's data.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure what a training step, inference, deformable attention or the loader costs on this machine.

    Seconds and peak memory of the published architecture with untrained weights on random images. Nothing is read but
    the loader's data (data.train.annotations=A.json data.train.images=DIR). docs/development.md says what is timed.
    """
    from vclr.bench.run import run_benchmark
    from vclr.bench.text import describe

    options = {
        **{"size": size, "queries": queries, "objects": objects, "batch": batch, "dtype": dtype, "device": device},
        **{
            "runs": runs,
            "threads": threads,
            "checkpoint": checkpoint or None,
            "micro_batch": micro_batch,
            "backend": backend,
        },
        **{"workers": workers, "calibrate": calibrate, "config_file": config_file},
        "overrides": tuple(overrides or ()) or None,
    }
    figures = run_benchmark(name, {key: value for key, value in options.items() if value is not None})
    print(json.dumps(figures, indent=1) if as_json else describe(figures))


@doctor.command("slurm")
def doctor_slurm(
    profile: Annotated[Path, typer.Option(help="The Snakemake profile of the site.")] = Path("slurm"),
    wait: Annotated[float, typer.Option(help="Seconds that the job which looks around may wait.")] = 300.0,
    job: Annotated[bool, typer.Option("--job/--no-job", help="Submit that job.")] = True,
) -> None:
    """Check the SLURM cluster against the profile, and say how to mend what is missing; exit 1 if anything is."""
    from vclr.finding import ERROR, print_finding
    from vclr.launch.doctor import check_slurm

    levels = []
    for finding in check_slurm(profile, wait, job):
        levels.append(finding.level)
        print_finding(finding)
    raise typer.Exit(int(ERROR in levels))


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
    from vclr.crew import Crew, count_cpus
    from vclr.data.doctor.check import DataSet, check_config, check_files
    from vclr.files import write_json
    from vclr.finding import print_groups

    crew = Crew(workers or count_cpus(), quiet)
    if annotations is None and images is None and not view:
        if config_file is None and not overrides:
            raise UsageError("needs --annotations FILE and --images FOLDER, or --config-file FILE or key=value")
        report = check_config(load_config(config_file, overrides or ()), crew, decode)
    else:
        if annotations is None or images is None or config_file is not None or overrides:
            raise UsageError("--annotations FILE and --images FOLDER go together, and without a configuration")
        report = check_files(DataSet(annotations, images, _folders_by_name(view or [])), crew, decode)
    if output is not None:
        write_json(output, report.as_json(), indent=1)
    print_groups(report.findings, limit)
    print(report.summarize())
    raise typer.Exit(int(report.num_errors > 0))


@app.command()
def ui(
    uri: Annotated[str, typer.Option(help="Where the runs are tracked.")] = "sqlite:///mlflow.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open the MLflow UI on the tracked runs."""
    from vclr.tracking.ui import open_ui

    open_ui(uri, port, host=host, open_browser=browser)


def _refuse_beside_join(**options: Any) -> None:
    for name, value in options.items():
        if value:
            raise UsageError(f"--join and --{name}: one of them, not both")


def _folders_by_name(options: list[str]) -> dict[str, Path]:
    folders = {}
    for option in options:
        name, _, folder = option.partition("=")
        if not name or not folder:
            raise UsageError(f"--view {option}: must be NAME=FOLDER")
        folders[name] = Path(folder)
    return folders


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: expected numbers separated by commas") from None


def _print_groups(metrics: dict[str, Any]) -> None:
    shown = ("box_ar@10", "box_ar@100", "mask_ar@10", "mask_ar@100")
    for name, group in metrics["groups"].items() or {"all": metrics}.items():
        values = ((key, group.get(key)) for key in shown)
        print(f"{name}: {', '.join(f'{key} -' if value is None else f'{key} {value:.1f}' for key, value in values)}")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vclr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say it.")] = False,
) -> None:
    start_logging()


def main() -> None:
    """Run the command line: errors of the user are one line; exit 0 done, 1 failed, 2 misuse, 75 or 130 interrupted."""
    try:
        app()
    except (Exception, KeyboardInterrupt) as error:
        explanation = explain(error)
        if explanation is None:
            raise
        message, exit_code = explanation
        print(f"vclr: {message}", file=sys.stderr)
        sys.exit(exit_code)


if __name__ == "__main__":
    main()
