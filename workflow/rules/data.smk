# Data sets, generated or downloaded from their publishers, and the splits of them that experiments use. Downloads need the
# network, so these rules run where Snakemake runs: a login node has it. `data/` stands for the key `data`.
#
# inputs:  data/raw/{set}/annotations_{part}.json of your own sets; for UVO and Objects365, the files that `vclr fetch` asks for
# outputs: data/raw/toy/, data/views/toy/{depth,style}/, data/raw/{coco2017,lvis,uvo,objects365,owis}/, data/weights/,
#          data/views/coco2017/{depth,style}/, data/splits/{set}_{part}_{split}.json and, for the report,
#          data/splits/{set}_{part}_{split}.compared.json
#
# `snakemake --lint`: "Shell command directly uses variable DATA from outside of the rule", "Shell command directly uses
# variable CATALOG from outside of the rule": as params they would change the commands, and Snakemake would fetch again
# what it has fetched.


localrules:
    fetch,
    fetch_model,
    fetch_owis,
    fetch_view,
    fetch_weights,


ruleorder: published_split > split


CATALOG = f"--catalog {shlex.quote(config['catalog'])} " if config["catalog"] else ""
# Snakemake fills in shell commands, also those of a module, with the variables of the main Snakefile.
workflow.modifier_stack[0].globals.update(CATALOG=CATALOG, DATA=DATA)


rule fetch_toy:
    """Generate the toy scenes with their true depth and style views."""
    output:
        train=DATA / "raw/toy/annotations_train.json",
        val=DATA / "raw/toy/annotations_val.json",
        manifest=DATA / "raw/toy/manifest.json",
        depth=DATA / "views/toy/depth/manifest.json",
        style=DATA / "views/toy/style/manifest.json",
    log:
        "logs/fetch/toy.log",
    shell:
        "vclr fetch toy --output {DATA} 2>&1 | tee {log}"


rule fetch:
    """Get a published data set: photos and official annotations, verified."""
    input:
        lambda wildcards: origins.required_by(wildcards.source),
    output:
        marker=touch(DATA / "raw/{source}/FETCHED"),
    log:
        "logs/fetch/{source}.log",
    wildcard_constraints:
        source="|".join(origins.fetched),
    shell:
        "vclr fetch {CATALOG}{wildcards.source} --output {DATA} --keep-packed 2>&1 | tee {log}"


rule fetch_owis:
    """Get an annotations file of the published OWIS collection."""
    output:
        annotations=DATA / "raw/owis/{name}.json",
    log:
        "logs/fetch/owis_{name}.log",
    wildcard_constraints:
        name=r"(?!manifest$)[\w-]+",
    shell:
        "vclr fetch {CATALOG}owis/{wildcards.name}.json --output {DATA} 2>&1 | tee {log}"


rule fetch_view:
    """Get a published view, or list the files of one that was put in place by hand."""
    input:
        # A view that is there by hand is compared with them.
        photos=lambda wildcards: ancient(origins.marker_of(wildcards.set)),
    output:
        manifest=DATA / "views/{set}/{view}/manifest.json",
    log:
        "logs/fetch/{set}_{view}.log",
    wildcard_constraints:
        set=producers.fetched_sets(),
    params:
        part=lambda wildcards: origins.views[wildcards.set, wildcards.view],
    shell:
        "vclr fetch {CATALOG}{params.part} --output {DATA} --keep-packed 2>&1 | tee {log}"


rule fetch_model:
    """Get the weights of a model that renders views or proposes objects."""
    output:
        marker=touch(DATA / "weights/{model}/FETCHED"),
    log:
        "logs/fetch/{model}.log",
    wildcard_constraints:
        model="|".join(map(re.escape, origins.models)) or NEVER,
    params:
        part=lambda wildcards: origins.models[wildcards.model],
    shell:
        "vclr fetch {CATALOG}{params.part} --output {DATA} 2>&1 | tee {log}"


rule fetch_weights:
    """Get published weights."""
    output:
        weights=DATA / "weights/{name}",
    log:
        "logs/fetch/{name}.log",
    wildcard_constraints:
        name=r"[\w-]+\.(pth|pkl)",
    shell:
        "vclr fetch {CATALOG}weights/{wildcards.name} --output {DATA} 2>&1 | tee {log}"


rule split:
    """Keep the annotations of a split's known classes."""
    input:
        source=lambda wildcards: origins.source_of(f"{DATA}/raw/{wildcards.set}/annotations_{wildcards.part}.json"),
    output:
        annotations=DATA / "splits/{set}_{part}_{split}.json",
    log:
        "logs/split/{set}_{part}_{split}.log",
    params:
        annotations=str(DATA / "raw/{set}/annotations_{part}.json"),
    shell:
        "vclr split {wildcards.split} --annotations {params.annotations} --output {output.annotations} 2>&1 | tee {log}"


rule published_split:
    """Make a split of a published data set from its official annotations."""
    input:
        files=lambda wildcards: origins.split_inputs(wildcards.name),
    output:
        annotations=DATA / "splits/{name}.json",
    log:
        "logs/split/{name}.log",
    wildcard_constraints:
        name="|".join(SPLIT_FILES),
    params:
        work=lambda wildcards: origins.split_arguments(wildcards.name),
    shell:
        "vclr split {params.work} --output {output.annotations} 2>&1 | tee {log}"


rule compare_files:
    """Compare the published json of a test set with the split of the official annotations."""
    input:
        files=lambda wildcards: origins.compared_files(wildcards.name),
    output:
        comparison=DATA / "splits/{name}.compared.json",
    log:
        "logs/split/{name}_compared.log",
    wildcard_constraints:
        name="|".join(name for name, made in SPLIT_FILES.items() if made.published),
    params:
        work=lambda wildcards: origins.comparison_arguments(wildcards.name),
    shell:
        "vclr split {params.work} 2>&1 | tee {log}"
