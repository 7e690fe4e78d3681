# Views of photos that need no weights: other appearance, same geometry.
#
# inputs:  data/raw/{set}/images/
# outputs: data/views/{set}/{view}/


rule views:
    """Render one view of every image of a set."""
    input:
        images=lambda wildcards: experiments.image_source(f"data/raw/{wildcards.set}/images"),
    output:
        manifest="data/views/{set}/{view}/manifest.json",
    log:
        "logs/views/{set}_{view}.log",
    wildcard_constraints:
        view="edge|palette|fourier|random_conv|pseudo_depth",
    params:
        images="data/raw/{set}/images",
        folder="data/views/{set}/{view}",
    shell:
        "vclr views --view {wildcards.view} --images {params.images} --output {params.folder} 2>&1 | tee {log}"
