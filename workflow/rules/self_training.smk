# Self-training: what the detector of an experiment finds in the training photos becomes the object proposals of a second
# round, together with those of the first. Round two with a seed follows round one with the same seed. `data/` stands for the
# key `data`.
#
# inputs:  runs/{experiment}/seed{seed}/ of the first round, data/raw/{set}/images/, data/raw/{set}/annotations_{part}.json,
#          the annotations and object proposals of the first round
# outputs: data/proposals/{set}/{part}_detector_{experiment}_seed{seed}.json and
#          data/proposals/{set}/{part}_round2_{experiment}_seed{seed}.json; on the way, with shards.proposals above 1,
#          data/proposals/{set}/{part}_detector_{experiment}_seed{seed}.shards/


rule detector_proposals:
    """Propose what a trained model finds in every image of a part of a set, or join its shards."""
    input:
        done="runs/{experiment}/seed{seed}/DONE",
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set, wildcards.part)),
        annotations=lambda wildcards: origins.source_of(origins.annotations_of(wildcards.set, wildcards.part)),
        parts=shards.list_parts(
            DATA / "proposals/{set}/{part}_detector_{experiment}_seed{seed}.shards/{shard}of{shards}.json",
            config["shards"]["proposals"],
        ),
    output:
        proposals=DATA / "proposals/{set}/{part}_detector_{experiment}_seed{seed}.json",
    log:
        "logs/proposals/{set}_{part}_detector_{experiment}_seed{seed}.log",
    resources:
        gpu=gpus if int(config["shards"]["proposals"]) == 1 else 0,
        gpu_model=gpu_model if int(config["shards"]["proposals"]) == 1 else "",
    params:
        # made of `input`, as in views.smk
        work=lambda wildcards, input: (
            shards.repeat("--join", input.parts)
            or f"--method {DETECTOR} --checkpoint runs/{wildcards.experiment}/seed{wildcards.seed}/checkpoints/last.pt"
            f" --images {origins.images_of(wildcards.set, wildcards.part)}"
            f" --annotations {origins.annotations_of(wildcards.set, wildcards.part)}"
        ),
    shell:
        "vclr proposals {params.work} --output {output.proposals} 2>&1 | tee {log}"


rule detector_proposals_shard:
    """Propose what a trained model finds in one shard of the images of a part of a set."""
    input:
        done="runs/{experiment}/seed{seed}/DONE",
        images=lambda wildcards: origins.source_of(origins.images_of(wildcards.set, wildcards.part)),
        annotations=lambda wildcards: origins.source_of(origins.annotations_of(wildcards.set, wildcards.part)),
    output:
        proposals=temp(DATA / "proposals/{set}/{part}_detector_{experiment}_seed{seed}.shards/{shard}of{shards}.json"),
    log:
        "logs/proposals/{set}_{part}_detector_{experiment}_seed{seed}_{shard}of{shards}.log",
    resources:
        gpu=gpus,
        gpu_model=gpu_model,
    params:
        method=DETECTOR,
        checkpoint="runs/{experiment}/seed{seed}/checkpoints/last.pt",
        images=lambda wildcards: origins.images_of(wildcards.set, wildcards.part),
        annotations=lambda wildcards: origins.annotations_of(wildcards.set, wildcards.part),
    shell:
        "vclr proposals --method {params.method} --checkpoint {params.checkpoint} --images {params.images}"
        " --annotations {params.annotations} --shard {wildcards.shard}/{wildcards.shards}"
        " --output {output.proposals} 2>&1 | tee {log}"


rule second_round:
    """Merge the proposals of a trained model with those of its own training, without what is annotated."""
    input:
        found=DATA / "proposals/{set}/{part}_detector_{experiment}_seed{seed}.json",
        first=lambda wildcards: experiments.first_proposals(
            wildcards.experiment, wildcards.seed, wildcards.set, wildcards.part
        ),
        known=lambda wildcards: experiments.known_annotations(wildcards.experiment),
    output:
        proposals=DATA / "proposals/{set}/{part}_round2_{experiment}_seed{seed}.json",
    log:
        "logs/proposals/{set}_{part}_round2_{experiment}_seed{seed}.log",
    shell:
        "vclr proposals merge {input.first} {input.found} --annotations {input.known}"
        " --output {output.proposals} 2>&1 | tee {log}"
