"""Verbs for results: comparisons, reports, studies, licenses, benchmarks, the MLflow UI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from vclr.cli.options import ConfigFile, OutputFolder, Overrides, app, load_config
from vclr.errors import UsageError
from vclr.files import atomic_path
from vclr.outputs import REPORT, STUDY, check_output_folder

PairsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIRST:SECOND,...",
        help="Pairs of experiments to compare, FIRST minus SECOND (default: each experiment with the first one).",
    ),
]


@app.command()
def report(
    output: OutputFolder,
    experiments: Annotated[list[str], typer.Option(help="Names of the experiments, separated by commas.")],
    seeds: Annotated[str, typer.Option(help="Seeds of each experiment, separated by commas.")] = "0",
    pairs: PairsOption = None,
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    title: Annotated[str, typer.Option(help="Heading of the report.")] = "Experiments",
    failures: Annotated[
        int,
        typer.Option(help="Failures of each kind that the report shows per test set; 0 leaves them out.", min=0),
    ] = 60,
) -> None:
    """Compare experiments: write report.html, which opens offline.

    Beside it: summary.json, ledger.md, curves.json, recall_by_size.json, and the pictures of the page as PNG.
    """
    from vclr.report.page import write_report

    check_output_folder(output, {}, REPORT)
    names = _names(",".join(experiments))
    print(write_report(names, _numbers(seeds), runs, results, output, title, _pairs(pairs or []), failures))


@app.command()
def study(
    output: OutputFolder,
    experiments: Annotated[
        list[str], typer.Option(help="Names of the experiments, separated by commas; the baseline first.")
    ],
    seeds: Annotated[str, typer.Option(help="Seeds of each experiment, separated by commas.")],
    pairs: PairsOption = None,
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
) -> None:
    """Compare experiments over several seeds: write study.md and study.json with means, spread and paired tests."""
    from vclr.report.study import write_study

    check_output_folder(output, {}, STUDY)
    write_study(_names(",".join(experiments)), _numbers(seeds), runs, results, output, _pairs(pairs or []))
    print((output / "study.md").read_text(encoding="utf-8"))


@app.command()
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN RUN...",
            help="Folders of results, run folders, folders of experiments, runs:/ID, experiments:/NAME; the baseline "
            "first.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the comparison to a Markdown file instead; - prints it.")
    ] = None,
    uri: Annotated[
        str,
        typer.Option(
            help="Tracking database or server of runs:/ID and experiments:/NAME (default: MLFLOW_TRACKING_URI, else "
            "mlflow.db here)."
        ),
    ] = "",
) -> None:
    """Compare evaluated runs with the first one: results with error bars, settings, data, code.

    Of a run folder runs/NAME, the results are in it or in results/NAME. The seeds of an experiment count as one run,
    with paired tests over the seeds, unless only one experiment is named. Runs are compared only on the same test set.
    More than 12 of them are ranked in one table.
    """
    from vclr.report.compare_runs import describe_runs, read_runs, summarize_runs
    from vclr.tracking.store import default_store

    by_set, notes = read_runs(runs or [], uri or default_store())
    if as_json:
        print(json.dumps(summarize_runs(by_set, notes), indent=1))
        return
    text = describe_runs(by_set, notes)
    if markdown is None or str(markdown) == "-":
        print(text)
    else:
        with atomic_path(markdown) as partial:
            partial.write_text(f"{text}\n", encoding="utf-8")
        print(markdown)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--experiments {text!r}: expected names separated by commas")
    _check_once(names, "--experiments")
    return names


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: expected numbers separated by commas") from None
    _check_once(numbers, "--seeds")
    return numbers


def _check_once(values: list[Any], option: str) -> None:
    """Refuse a repeated value, which would count as two results and make a difference look certain."""
    for value in values:
        if values.count(value) > 1:
            raise UsageError(f"{option}: names {value} twice; name each once")


def _pairs(options: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in (part for option in options for part in option.split(",")):
        first, _, second = (part.strip() for part in text.partition(":"))
        if not first or not second or ":" in second:
            raise UsageError(f"--pairs {text!r}: expected FIRST:SECOND, separated by commas")
        pairs.append((first, second))
    return pairs


@app.command()
def licenses(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    commercial_safe: Annotated[
        bool, typer.Option("--commercial-safe", help="Exit with 1 if anything may not be used commercially.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of JSON objects.")] = False,
) -> None:
    """List the licenses of the data, weights, proposals and views of an experiment, or of all sources without one.

    Photos count by the license that their json gives each of them. A license.yaml in the folder of your own data states
    its terms: `name`, `commercial: true|false`, `because`, and optionally `url`.
    """
    from vclr.report.licenses import catalog_terms, refuse_unsafe, terms_in_use

    has_experiment = config_file is not None or overrides
    terms = terms_in_use(load_config(config_file, overrides or ())) if has_experiment else catalog_terms()
    if as_json:  # `licence` is the key of earlier versions, kept for one release
        entries = msgspec.to_builtins(terms)
        print(json.dumps([{**entry, "licence": entry["license"]} for entry in entries], indent=1))
    else:
        print("\n".join(map(str, terms)))
    if commercial_safe:
        refuse_unsafe(terms)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="Benchmark to run: step, inference, attention or loader.")],
    overrides: Overrides = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Image size as HEIGHTxWIDTH (default: 384x512 for step, else 480x640). Several sizes, separated "
            "by commas, alternate within a batch."
        ),
    ] = None,
    queries: Annotated[int | None, typer.Option(help="Number of queries (default: 300 for step, else 900).")] = None,
    objects: Annotated[int | None, typer.Option(help="Step: number of objects per image (default: 10).")] = None,
    batch: Annotated[int | None, typer.Option(help="Number of images per batch (default: 1).")] = None,
    dtype: Annotated[str | None, typer.Option(help="Precision: float32 (default), bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="Device: auto (default), cpu, cuda, cuda:1 ...")] = None,
    runs: Annotated[int | None, typer.Option(help="Number of timed runs (default: 5).")] = None,
    threads: Annotated[int | None, typer.Option(help="Number of CPU threads; 0 (default) for torch's choice.")] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Step: recompute the activations of encoder and decoder.")
    ] = False,
    micro_batch: Annotated[
        int | None, typer.Option(help="Step: number of images per forward pass; 0 (default) for the whole batch.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Attention: gather or grid_sample (default: depends on the device).")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Loader: number of worker processes (default: 2).")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibration/--no-calibration", help="Also measure the speed of the machine itself.")
    ] = True,
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", "-c", help="YAML file with another architecture, or with the loader's data."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure time and peak memory of a training step, inference, deformable attention or the data loader.

    The published architecture runs with random weights on random images. Only the loader benchmark reads data
    (data.train.annotations=FILE data.train.images=FOLDER). docs/development.md says what is timed.
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


@app.command()
def ui(
    uri: Annotated[
        str,
        typer.Option(
            help="Tracking database or server of the runs (default: MLFLOW_TRACKING_URI, else mlflow.db here)."
        ),
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines open it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    server: Annotated[bool, typer.Option("--server", help="Run a tracking server for several users instead.")] = False,
    backend_store: Annotated[
        str,
        typer.Option(
            help="Database of the server, such as postgresql://vclr@db/mlflow; its password belongs into PGPASSWORD "
            "(default: MLFLOW_BACKEND_STORE_URI)."
        ),
    ] = "",
    artifacts: Annotated[
        str,
        typer.Option(
            help="Where the server keeps files, such as s3://bucket/mlflow or a folder; MLFLOW_S3_ENDPOINT_URL names a "
            "MinIO server (default: MLFLOW_ARTIFACTS_DESTINATION)."
        ),
    ] = "",
    login: Annotated[bool, typer.Option("--login", help="Let only people with an account into the server.")] = False,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the server's command without its passwords; do not run it.")
    ] = False,
) -> None:
    """Open the MLflow UI with the tracked runs, or run a tracking server (--server; see docs/tracking.md)."""
    from vclr.tracking.group_server import serve_group
    from vclr.tracking.store import default_store
    from vclr.tracking.ui import open_ui

    if server:
        if uri:
            raise UsageError("--uri: a server is not opened but run: name its database with --backend-store")
        serve_group(backend_store, artifacts, host, port, login, only_print)
        return
    for name, given in (("backend-store", backend_store), ("artifacts", artifacts), ("login", login)):
        if given:
            raise UsageError(f"--{name}: needs --server")
    if only_print:
        raise UsageError("--print: needs --server")
    open_ui(uri or default_store(), port, host=host, open_browser=browser)
