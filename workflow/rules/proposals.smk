# Object proposals: class-agnostic masks without human annotation. `data/` stands for the key `data`.
#
# inputs:  data/raw/{set}/images/, data/raw/{set}/annotations_{part}.json (names the images of the part); for methods that
#          run a model, data/weights/{model}/ or the hub; for those that look at depth, data/views/{set}/depth/; for the
#          published ones, data/raw/owis/
# outputs: data/proposals/{set}/{part}_{method}.json, data/proposals/coco2017/train_cutler_{voc,coco}.json; on the way,
#          with shards.proposals above 1, data/proposals/{set}/{part}_{method}.shards/

METHODS = "|".join(FREE_METHODS)
WITH_MODEL = "|".join(MODEL_METHODS) or NEVER


rule published_proposals:
    """Take the published object proposals out of the json that holds them beside known annotations."""
    input:
        published=lambda wildcards: f"{DATA}/{PUBLISHED_PROPOSALS[wildcards.name].json}",
        photos=lambda wildcards: origins.source_of(origins.annotations_of(wildcards.set, "train")),
    output:
        proposals=DATA / "proposals/{set}/{name}.json",
    log:
        "logs/proposals/{set}_{name}.log",
    wildcard_constraints:
        name="|".join(PUBLISHED_PROPOSALS),
        set="|".join({record.source for record in PUBLISHED_PROPOSALS.values()}),
    params:
        annotations=lambda wildcards: origins.annotations_of(wildcards.set, "train"),
    shell:
        "vclr proposals import {input.published} --annotations {params.annotations}"
        " --output {output.proposals} 2>&1 | tee {log}"


rule proposals:
    """Propose objects in every image of a part of a set, or join its shards."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set, wildcards.part)),
        annotations=lambda wildcards: origins.source_of(origins.annotations_of(wildcards.set, wildcards.part)),
        parts=shards.list_parts(
            DATA / "proposals/{set}/{part}_{method}.shards/{shard}of{shards}.json", config["shards"]["proposals"]
        ),
    output:
        proposals=DATA / "proposals/{set}/{part}_{method}.json",
    log:
        "logs/proposals/{set}_{part}_{method}.log",
    wildcard_constraints:
        method=METHODS,
    params:
        # made of `input`, as in views.smk
        work=lambda wildcards, input: (
            shards.repeat("--join", input.parts)
            or f"--method {wildcards.method} --images {origins.images_of(wildcards.set, wildcards.part)}"
            f" --annotations {origins.annotations_of(wildcards.set, wildcards.part)}"
        ),
    shell:
        "vclr proposals {params.work} --output {output.proposals} 2>&1 | tee {log}"


rule proposals_shard:
    """Propose objects in one shard of the images of a part of a set."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set, wildcards.part)),
        annotations=lambda wildcards: origins.source_of(origins.annotations_of(wildcards.set, wildcards.part)),
    output:
        proposals=temp(DATA / "proposals/{set}/{part}_{method}.shards/{shard}of{shards}.json"),
    log:
        "logs/proposals/{set}_{part}_{method}_{shard}of{shards}.log",
    wildcard_constraints:
        method=METHODS,
    params:
        images=lambda wildcards: origins.images_of(wildcards.set, wildcards.part),
        annotations=lambda wildcards: origins.annotations_of(wildcards.set, wildcards.part),
    shell:
        "vclr proposals --method {wildcards.method} --images {params.images} --annotations {params.annotations}"
        " --shard {wildcards.shard}/{wildcards.shards} --output {output.proposals} 2>&1 | tee {log}"


rule model_proposals:
    """Propose objects in every image of a part of a set by a method that runs a model, or join its shards."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set, wildcards.part)),
        annotations=lambda wildcards: origins.source_of(origins.annotations_of(wildcards.set, wildcards.part)),
        needed=lambda wildcards: methods.inputs(wildcards.method, wildcards.set),
        parts=shards.list_parts(
            DATA / "proposals/{set}/{part}_{method}.shards/{shard}of{shards}.json", config["shards"]["proposals"]
        ),
    output:
        proposals=DATA / "proposals/{set}/{part}_{method}.json",
    log:
        "logs/proposals/{set}_{part}_{method}.log",
    wildcard_constraints:
        method=WITH_MODEL,
    resources:
        gpu=gpus if int(config["shards"]["proposals"]) == 1 else 0,
        gpu_model=gpu_model if int(config["shards"]["proposals"]) == 1 else "",
    params:
        # Snakemake compares this one: another model proposes again.
        options=lambda wildcards: methods.options(wildcards.method, wildcards.set),
        # made of `input`, as in views.smk
        work=lambda wildcards, input: (
            shards.repeat("--join", input.parts)
            or f"{methods.options(wildcards.method, wildcards.set)}"
            f" --images {origins.images_of(wildcards.set, wildcards.part)}"
            f" --annotations {origins.annotations_of(wildcards.set, wildcards.part)}"
        ),
    shell:
        "vclr proposals {params.work} --output {output.proposals} 2>&1 | tee {log}"


rule model_proposals_shard:
    """Propose objects in one shard of the images of a part of a set by a method that runs a model."""
    input:
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set, wildcards.part)),
        annotations=lambda wildcards: origins.source_of(origins.annotations_of(wildcards.set, wildcards.part)),
        needed=lambda wildcards: methods.inputs(wildcards.method, wildcards.set),
    output:
        proposals=temp(DATA / "proposals/{set}/{part}_{method}.shards/{shard}of{shards}.json"),
    log:
        "logs/proposals/{set}_{part}_{method}_{shard}of{shards}.log",
    wildcard_constraints:
        method=WITH_MODEL,
    resources:
        gpu=gpus,
        gpu_model=gpu_model,
    params:
        options=lambda wildcards: methods.options(wildcards.method, wildcards.set),
        images=lambda wildcards: origins.images_of(wildcards.set, wildcards.part),
        annotations=lambda wildcards: origins.annotations_of(wildcards.set, wildcards.part),
    shell:
        "vclr proposals {params.options} --images {params.images} --annotations {params.annotations}"
        " --shard {wildcards.shard}/{wildcards.shards} --output {output.proposals} 2>&1 | tee {log}"
