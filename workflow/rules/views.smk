# Views of photos: other appearance, same geometry. `data/` stands for the key `data`. Computed views need no weights. The
# views `depth` and `style` have one producer each, which the key `views` chooses; where that is a download, the rule
# `fetch_view` of data.smk gets it.
#
# inputs:  data/raw/{set}/images/; for learned views, data/weights/{producer}/
# outputs: data/views/{set}/{view}/; on the way, with shards.views above 1, data/views/{set}/{view}.shards/;
#          results/{experiment}/views.{json,html}

VIEWS = "|".join(COMPUTED_VIEWS)
CHOSEN = "|".join(CHOSEN_VIEWS)
# A GPU for each process that runs a model. All jobs of a rule ask for the same, because an array of jobs has one request.
rendering_gpus = gpus if producers.any_is_learned() else 0
rendering_gpu_model = gpu_model if producers.any_is_learned() else ""


rule views:
    """Render one view of every image of a set, or join its shards."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set)),
        parts=shards.list_parts(DATA / "views/{set}/{view}.shards/{shard}of{shards}", config["shards"]["views"]),
    output:
        manifest=DATA / "views/{set}/{view}/manifest.json",
    log:
        "logs/views/{set}_{view}.log",
    wildcard_constraints:
        view=VIEWS,
    params:
        # Snakemake does not compare what is made of `input`, so a finished view stays when the number of shards changes.
        work=lambda wildcards, input: (
            shards.repeat("--join", input.parts)
            or f"--view {wildcards.view} --images {origins.images_of(wildcards.set)}"
        ),
        folder=str(DATA / "views/{set}/{view}"),
    shell:
        # --overwrite: Snakemake has deleted the manifest of an earlier rendering.
        "vclr views {params.work} --output {params.folder} --overwrite 2>&1 | tee {log}"


rule views_shard:
    """Render one view of one shard of the images of a set."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set)),
    output:
        folder=temp(directory(DATA / "views/{set}/{view}.shards/{shard}of{shards}")),
    log:
        "logs/views/{set}_{view}_{shard}of{shards}.log",
    wildcard_constraints:
        view=VIEWS,
    params:
        images=lambda wildcards: origins.images_of(wildcards.set),
    shell:
        "vclr views --view {wildcards.view} --images {params.images}"
        " --shard {wildcards.shard}/{wildcards.shards} --output {output.folder} 2>&1 | tee {log}"


rule chosen_view:
    """Render `depth` or `style` of every image of a set by its producer, or join its shards."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set)),
        weights=lambda wildcards: producers.inputs(wildcards.set, wildcards.view),
        parts=shards.list_parts(DATA / "views/{set}/{view}.shards/{shard}of{shards}", config["shards"]["views"]),
    output:
        manifest=DATA / "views/{set}/{view}/manifest.json",
    log:
        "logs/views/{set}_{view}.log",
    wildcard_constraints:
        set=producers.rendered_sets(),
        view=CHOSEN,
    resources:
        gpu=rendering_gpus if int(config["shards"]["views"]) == 1 else 0,
        gpu_model=rendering_gpu_model if int(config["shards"]["views"]) == 1 else "",
    params:
        # Snakemake compares this one: another producer makes the view again.
        producer=lambda wildcards: producers.options(wildcards.set, wildcards.view),
        work=lambda wildcards, input: (
            shards.repeat("--join", input.parts)
            or f"{producers.options(wildcards.set, wildcards.view)} --images {origins.images_of(wildcards.set)}"
        ),
        folder=str(DATA / "views/{set}/{view}"),
    shell:
        "vclr views {params.work} --output {params.folder} --overwrite 2>&1 | tee {log}"


rule chosen_view_shard:
    """Render `depth` or `style` of one shard of the images of a set."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set)),
        weights=lambda wildcards: producers.inputs(wildcards.set, wildcards.view),
    output:
        folder=temp(directory(DATA / "views/{set}/{view}.shards/{shard}of{shards}")),
    log:
        "logs/views/{set}_{view}_{shard}of{shards}.log",
    wildcard_constraints:
        view=CHOSEN,
    resources:
        gpu=rendering_gpus,
        gpu_model=rendering_gpu_model,
    params:
        producer=lambda wildcards: producers.options(wildcards.set, wildcards.view),
        images=lambda wildcards: origins.images_of(wildcards.set),
    shell:
        "vclr views {params.producer} --images {params.images}"
        " --shard {wildcards.shard}/{wildcards.shards} --output {output.folder} 2>&1 | tee {log}"


rule inspect_views:
    """Measure what each view of a training set keeps of its photos, and stop before the training if one is no view of them."""
    input:
        data=lambda wildcards: experiments.inspection_inputs(wildcards.experiment),
    output:
        # The page is not declared, since it should stay if a view fails, when Snakemake deletes the outputs.
        numbers="results/{experiment}/views.json",
    log:
        "logs/inspect/{experiment}.log",
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        page="results/{experiment}/views.html",
        checks=lambda wildcards: inspection_options(
            config["view_checks"], experiments.drawn_views(wildcards.experiment)
        ),
        views=lambda wildcards: experiments.inspected_views(wildcards.experiment),
        # made of `input`, as in train.smk: `views` says what matters
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
    shell:
        "vclr views inspect --config-file {params.config} --output {params.page} --json {output.numbers}"
        " --check {params.checks} {params.overrides} 2>&1 | tee {log}"
