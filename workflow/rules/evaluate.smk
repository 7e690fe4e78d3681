# Evaluation on the test set of an experiment: known and novel classes.
#
# inputs:  runs/{experiment}/seed{seed}/, configs/experiment/{experiment}.yaml and the test set that it names
# outputs: results/{experiment}/seed{seed}/{metrics,predictions}.json, results/{experiment}/untrained/ the same,
#          results/{experiment}/proposals/metrics.json, results/{experiment}/leaks.json; on the way, with shards.evaluation above 1,
#          results/{experiment}/seed{seed}/shards/

EVALUATION_SHARDS = int(config["shards"]["evaluation"])


def gpus(wildcards):
    """Return how many GPUs a job asks for that runs a model."""
    return experiments.evaluation_gpus(workflow)


def gpu_model(wildcards):
    """Return the type of these that the profile wants, as the executor calls it."""
    return experiments.evaluation_gpu_type(workflow)


rule evaluate:
    """Evaluate a trained model, or what its shards have found."""
    input:
        done="runs/{experiment}/seed{seed}/DONE",
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, config["overrides"]),
        parts=shards.list_parts(
            "results/{experiment}/seed{seed}/shards/{shard}of{shards}/predictions.json", EVALUATION_SHARDS
        ),
    output:
        metrics="results/{experiment}/seed{seed}/metrics.json",
        predictions="results/{experiment}/seed{seed}/predictions.json",
    log:
        "logs/evaluate/{experiment}_seed{seed}.log",
    threads: config["training_threads"] if EVALUATION_SHARDS == 1 else 1
    resources:
        gpu=gpus if EVALUATION_SHARDS == 1 else 0,
        gpu_model=gpu_model if EVALUATION_SHARDS == 1 else "",
    params:
        config="configs/experiment/{experiment}.yaml",
        # made of `input`, as in views.smk
        source=lambda wildcards, input: (
            shards.repeat("--predictions", input.parts)
            or f"--checkpoint runs/{wildcards.experiment}/seed{wildcards.seed}/checkpoints/last.pt"
        ),
        folder="results/{experiment}/seed{seed}",
        overrides=experiments.quote_overrides(config["overrides"]),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, config["overrides"]),
    shell:
        "vclr evaluate --config-file {params.config} {params.source}"
        " --output {params.folder} train.num_threads={threads} {params.overrides} 2>&1 | tee {log}"


rule evaluate_shard:
    """Find the objects in one shard of the test set."""
    input:
        done="runs/{experiment}/seed{seed}/DONE",
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, config["overrides"]),
    output:
        predictions=temp("results/{experiment}/seed{seed}/shards/{shard}of{shards}/predictions.json"),
    log:
        "logs/evaluate/{experiment}_seed{seed}_{shard}of{shards}.log",
    threads: config["training_threads"]
    resources:
        gpu=gpus,
        gpu_model=gpu_model,
    params:
        config="configs/experiment/{experiment}.yaml",
        checkpoint="runs/{experiment}/seed{seed}/checkpoints/last.pt",
        folder="results/{experiment}/seed{seed}/shards/{shard}of{shards}",
        overrides=experiments.quote_overrides(config["overrides"]),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, config["overrides"]),
    shell:
        "vclr evaluate --config-file {params.config} --checkpoint {params.checkpoint}"
        " --shard {wildcards.shard}/{wildcards.shards} --output {params.folder}"
        " train.num_threads={threads} {params.overrides} 2>&1 | tee {log}"


rule evaluate_untrained:
    """Evaluate the model before its training: what chance gives."""
    input:
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, config["overrides"]),
    output:
        metrics="results/{experiment}/untrained/metrics.json",
        predictions="results/{experiment}/untrained/predictions.json",
    log:
        "logs/evaluate/{experiment}_untrained.log",
    threads: config["training_threads"]
    resources:
        gpu=gpus,
        gpu_model=gpu_model,
    params:
        config="configs/experiment/{experiment}.yaml",
        folder="results/{experiment}/untrained",
        overrides=experiments.quote_overrides(config["overrides"]),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, config["overrides"]),
    shell:
        "vclr evaluate --config-file {params.config} --output {params.folder}"
        " train.num_threads={threads} {params.overrides} 2>&1 | tee {log}"


rule evaluate_proposals:
    """Evaluate the object proposals of the test set: what no training gives."""
    input:
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, config["overrides"]),
        proposals=lambda wildcards: experiments.proposals_of_test_set(wildcards.experiment, config["overrides"]),
    output:
        metrics="results/{experiment}/proposals/metrics.json",
    log:
        "logs/evaluate/{experiment}_proposals.log",
    params:
        config="configs/experiment/{experiment}.yaml",
        folder="results/{experiment}/proposals",
        overrides=experiments.quote_overrides(config["overrides"]),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, config["overrides"]),
    shell:
        "vclr evaluate --config-file {params.config} --predictions {input.proposals}"
        " --output {params.folder} {params.overrides} 2>&1 | tee {log}"


rule audit:
    """Find the images of an experiment's test set that its training set holds."""
    input:
        data=lambda wildcards: experiments.audit_inputs(wildcards.experiment, config["overrides"]),
    output:
        leaks="results/{experiment}/leaks.json",
    log:
        "logs/audit/{experiment}.log",
    params:
        config="configs/experiment/{experiment}.yaml",
        overrides=experiments.quote_overrides(config["overrides"]),
        sets=lambda wildcards: experiments.audited_sets(wildcards.experiment, config["overrides"]),
    shell:
        "vclr audit --config-file {params.config} --output {output.leaks} {params.overrides} 2>&1 | tee {log}"
