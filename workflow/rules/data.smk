# Data sets: generated, or fetched from where they were published; and the annotations that an experiment trains on and is
# evaluated with. What is fetched needs the network, so these rules run where Snakemake runs: a login node has it.
#
# inputs:  data/raw/{set}/annotations_{part}.json of one's own sets; of UVO and Objects365, what `vclr fetch` asks for
# outputs: data/raw/toy/, data/views/toy/{depth,style}/, data/raw/{coco2017,lvis,uvo,objects365,owis}/, data/weights/,
#          data/views/coco2017/{depth,style}/, data/splits/{set}_{part}_{split}.json


localrules:
    fetch,
    fetch_owis,
    fetch_view,
    fetch_weights,


ruleorder: published_split > split


with mistakes.in_one_line():
    CATALOG = published.use_catalog(config["catalog"])


rule fetch_toy:
    """Generate the toy scenes with their true depth and style views."""
    output:
        train="data/raw/toy/annotations_train.json",
        val="data/raw/toy/annotations_val.json",
        manifest="data/raw/toy/manifest.json",
        depth="data/views/toy/depth/manifest.json",
        style="data/views/toy/style/manifest.json",
    log:
        "logs/fetch/toy.log",
    shell:
        "vclr fetch toy --output data 2>&1 | tee {log}"


rule fetch:
    """Get a published data set: photos and official annotations, verified."""
    input:
        lambda wildcards: published.NEEDS.get(wildcards.source, []),
    output:
        marker=touch("data/raw/{source}/FETCHED"),
    log:
        "logs/fetch/{source}.log",
    wildcard_constraints:
        source="|".join(published.FETCHED_SETS),
    shell:
        "vclr fetch {CATALOG}{wildcards.source} --output data --keep-packed 2>&1 | tee {log}"


rule fetch_owis:
    """Get an annotations file of the published OWIS collection."""
    output:
        annotations="data/raw/owis/{name}.json",
    log:
        "logs/fetch/owis_{name}.log",
    wildcard_constraints:
        name=r"(?!manifest$)[\w-]+",
    shell:
        "vclr fetch {CATALOG}owis/{wildcards.name}.json --output data 2>&1 | tee {log}"


rule fetch_view:
    """Get a view of the photos of COCO from the published OWIS collection, or list one that was put in place by hand."""
    input:
        # A view that is there by hand is compared with them.
        photos=ancient("data/raw/coco2017/FETCHED"),
    output:
        manifest="data/views/coco2017/{view}/manifest.json",
    log:
        "logs/fetch/owis_{view}.log",
    wildcard_constraints:
        view="|".join(published.OWIS_VIEWS),
    params:
        part=lambda wildcards: published.OWIS_VIEWS[wildcards.view],
    shell:
        "vclr fetch {CATALOG}owis/{params.part} --output data --keep-packed 2>&1 | tee {log}"


rule fetch_weights:
    """Get published weights."""
    output:
        weights="data/weights/{name}",
    log:
        "logs/fetch/{name}.log",
    wildcard_constraints:
        name=r"[\w-]+\.(pth|pkl)",
    shell:
        "vclr fetch {CATALOG}weights/{wildcards.name} --output data 2>&1 | tee {log}"


rule split:
    """Keep the annotations of a split's known classes."""
    input:
        source=lambda wildcards: published.source_of(f"data/raw/{wildcards.set}/annotations_{wildcards.part}.json"),
    output:
        annotations="data/splits/{set}_{part}_{split}.json",
    log:
        "logs/split/{set}_{part}_{split}.log",
    params:
        annotations="data/raw/{set}/annotations_{part}.json",
    shell:
        "vclr split {wildcards.split} --annotations {params.annotations} --output {output.annotations} 2>&1 | tee {log}"


rule published_split:
    """Make a split of a published data set from its official annotations."""
    input:
        files=lambda wildcards: experiments.split_inputs(wildcards.name),
    output:
        annotations="data/splits/{name}.json",
    log:
        "logs/split/{name}.log",
    wildcard_constraints:
        name="|".join(published.RECIPES),
    params:
        work=lambda wildcards: experiments.split_options(wildcards.name),
    shell:
        "vclr split {params.work} --output {output.annotations} 2>&1 | tee {log}"
