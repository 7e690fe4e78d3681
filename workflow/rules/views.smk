# Views of photos that need no weights: other appearance, same geometry. `data/` stands for the key `data`.
#
# inputs:  data/raw/{set}/images/
# outputs: data/views/{set}/{view}/; on the way, with shards.views above 1, data/views/{set}/{view}.shards/

VIEWS = "|".join(COMPUTED_VIEWS)


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
