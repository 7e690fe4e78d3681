"""The verb `views inspect`: judge views before they are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.catalog.view_measures import VIEW_MINIMA
from vclr.catalog.views import COMPUTED_VIEWS, CONTROLS
from vclr.cli.data import ImageFolders, folders_by_name
from vclr.cli.options import ConfigFile, OutputFile, Overrides, Quiet, load_config, view_verbs
from vclr.errors import UsageError
from vclr.outputs import VIEWS_KEYS, VIEWS_PAGE, check_output_file

Minima = list[str] | None


def _minimum(what: str, measure: str) -> typer.models.OptionInfo:
    text = (
        f"Least {what} that --check accepts, as VALUE or for one view NAME=VALUE (default: {VIEW_MINIMA[measure]:g})."
    )
    option: typer.models.OptionInfo = typer.Option(metavar="[NAME=]VALUE", help=text)
    return option


@view_verbs.command("inspect")
def inspect_views(
    output: OutputFile,
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    images: ImageFolders = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO json that lists the photos and their objects.")] = None,
    view: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER of a view; may be repeated.")] = None,
    computed: Annotated[
        str,
        typer.Option(metavar="NAME,...", help=f"Views to compute: {', '.join([*COMPUTED_VIEWS, *CONTROLS])}."),
    ] = "",
    sample: Annotated[int, typer.Option(min=1, help="Number of photos to measure.")] = 64,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the sample, and of computed views without a configuration.")
    ] = 0,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this json file.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a view fails, with a line for each.")] = False,
    min_structure: Annotated[Minima, _minimum("agreement of its edges with the photo's", "structure")] = None,
    min_outlines_kept: Annotated[Minima, _minimum("share of the masks' outlines", "outlines_kept")] = None,
    min_own_photo: Annotated[Minima, _minimum("share of other photos that fit worse", "own_photo")] = None,
    min_change: Annotated[Minima, _minimum("change of appearance", "change")] = None,
    quiet: Quiet = False,
) -> None:
    """Show photos in all views on one page, and measure what each view keeps and what it changes.

    The views are those that a configuration draws from, or those of --view and --computed. With --check, a view fails
    if a measure is below its minimum, if its files cannot be used, or if they belong to other photos. docs/views.md
    explains the measures.
    """
    from vclr.files import write_json
    from vclr.studio.data import Inspected, describe, draw_sample, views_of_training
    from vclr.studio.inspect import inspect_views as run
    from vclr.studio.page import format_table, write_page
    from vclr.studio.verdict import as_json, read_minima

    names = [name.strip() for name in computed.split(",")] if computed else []
    if config_file is not None or overrides:
        if images or annotations or view:
            raise UsageError("--images, --annotations and --view do not go together with a configuration")
        inspected = views_of_training(load_config(config_file, overrides or ()), names)
    elif images and (view or names):
        inspected = Inspected(images, annotations, folders_by_name(view or []), names, seed)
    else:
        raise UsageError("needs --images FOLDER and --view NAME=FOLDER or --computed NAME, or --config-file FILE")
    inputs = {"--config-file": config_file, "--annotations": inspected.annotations}
    check_output_file(output, inputs, starts=VIEWS_PAGE, suffix=".html")
    if json is not None:
        check_output_file(json, inputs | {"--output": output}, VIEWS_KEYS, option="--json")
    drawn = draw_sample(inspected, sample, seed)
    given = {"structure": min_structure, "outlines_kept": min_outlines_kept}
    given |= {"own_photo": min_own_photo, "change": min_change}
    minima = read_minima({measure: texts or () for measure, texts in given.items()}, drawn)
    found = run(drawn, quiet)
    content = as_json(describe(inspected), drawn, seed, found, minima)
    write_page(output, content, found)
    if json is not None:
        write_json(json, content, indent=1)
    print(format_table(content))
    print("\n".join([*content["failures"], f"The page: {output}"]))
    raise typer.Exit(int(check and not content["passed"]))
