# Evaluation on the test sets of an experiment: known and novel classes. `{protocol}` is empty, or a slash and a name for
# each of `evaluation.protocols` of the experiment: one training, several test sets.
#
# inputs:  runs/{experiment}/seed{seed}/, configs/experiment/{experiment}.yaml and the test sets that it names
# outputs: results/{experiment}/seed{seed}{protocol}/{metrics,predictions}.json and bootstrap.npz,
#          results/{experiment}/untrained{protocol}/ the same, results/{experiment}/proposals{protocol}/metrics.json and
#          bootstrap.npz, results/{experiment}/leaks{protocol}.json; for the experiments of `probed`, or as targets,
#          results/{experiment}/seed{seed}{protocol}/probe.{json,png}; on the way, with shards.evaluation above 1,
#          results/{experiment}/seed{seed}{protocol}/shards/

EVALUATION_SHARDS = int(config["shards"]["evaluation"])
# Labels of a result in Snakemake's own report.
test_set = lambda wildcards: {"experiment": wildcards.experiment, "test set": wildcards.protocol[1:] or "its own"}


rule evaluate:
    """Evaluate a trained model, or join the predictions of its shards."""
    input:
        done="runs/{experiment}/seed{seed}/DONE",
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, wildcards.protocol),
        parts=shards.list_parts(
            "results/{experiment}/seed{seed}{protocol}/shards/{shard}of{shards}/predictions.json", EVALUATION_SHARDS
        ),
        provenance=shards.list_parts(
            "results/{experiment}/seed{seed}{protocol}/shards/{shard}of{shards}/provenance.json", EVALUATION_SHARDS
        ),
    output:
        metrics=report(
            "results/{experiment}/seed{seed}{protocol}/metrics.json",
            caption="../report/metrics.rst",
            category="Metrics",
            labels=lambda wildcards: {**test_set(wildcards), "model": f"seed {wildcards.seed}"},
        ),
        predictions="results/{experiment}/seed{seed}{protocol}/predictions.json",
        draws="results/{experiment}/seed{seed}{protocol}/bootstrap.npz",
    log:
        "logs/evaluate/{experiment}_seed{seed}{protocol}.log",
    threads: config["training_threads"] if EVALUATION_SHARDS == 1 else 1
    resources:
        gpu=gpus if EVALUATION_SHARDS == 1 else 0,
        gpu_model=gpu_model if EVALUATION_SHARDS == 1 else "",
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        # made of `input`, as in views.smk
        source=lambda wildcards, input: (
            shards.repeat("--predictions", input.parts)
            or f"--checkpoint runs/{wildcards.experiment}/seed{wildcards.seed}/checkpoints/last.pt"
        ),
        folder="results/{experiment}/seed{seed}{protocol}",
        # made of `input`, as in train.smk
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
        protocol=lambda wildcards: protocol_option(wildcards.protocol),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, wildcards.protocol),
    shell:
        "vclr evaluate --config-file {params.config} {params.source}"
        " --output {params.folder} train.num_threads={threads}{params.protocol} {params.overrides} 2>&1 | tee {log}"


rule evaluate_shard:
    """Find the objects in one shard of the test set."""
    input:
        done="runs/{experiment}/seed{seed}/DONE",
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, wildcards.protocol),
    output:
        predictions=temp("results/{experiment}/seed{seed}{protocol}/shards/{shard}of{shards}/predictions.json"),
        provenance=temp("results/{experiment}/seed{seed}{protocol}/shards/{shard}of{shards}/provenance.json"),
    log:
        "logs/evaluate/{experiment}_seed{seed}{protocol}_{shard}of{shards}.log",
    threads: config["training_threads"]
    resources:
        gpu=gpus,
        gpu_model=gpu_model,
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        checkpoint="runs/{experiment}/seed{seed}/checkpoints/last.pt",
        folder="results/{experiment}/seed{seed}{protocol}/shards/{shard}of{shards}",
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
        protocol=lambda wildcards: protocol_option(wildcards.protocol),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, wildcards.protocol),
    shell:
        "vclr evaluate --config-file {params.config} --checkpoint {params.checkpoint}"
        " --shard {wildcards.shard}/{wildcards.shards} --output {params.folder}"
        " train.num_threads={threads}{params.protocol} {params.overrides} 2>&1 | tee {log}"


rule evaluate_untrained:
    """Evaluate the model before its training, as the floor of the comparison."""
    input:
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, wildcards.protocol),
    output:
        metrics=report(
            "results/{experiment}/untrained{protocol}/metrics.json",
            caption="../report/metrics.rst",
            category="Metrics",
            labels=lambda wildcards: {**test_set(wildcards), "model": "untrained"},
        ),
        predictions="results/{experiment}/untrained{protocol}/predictions.json",
        draws="results/{experiment}/untrained{protocol}/bootstrap.npz",
    log:
        "logs/evaluate/{experiment}_untrained{protocol}.log",
    threads: config["training_threads"]
    resources:
        gpu=gpus,
        gpu_model=gpu_model,
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        folder="results/{experiment}/untrained{protocol}",
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
        protocol=lambda wildcards: protocol_option(wildcards.protocol),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, wildcards.protocol),
    shell:
        "vclr evaluate --config-file {params.config} --output {params.folder}"
        " train.num_threads={threads}{params.protocol} {params.overrides} 2>&1 | tee {log}"


rule evaluate_proposals:
    """Evaluate the object proposals of the test set, as a reference without training."""
    input:
        data=lambda wildcards: experiments.evaluation_inputs(wildcards.experiment, wildcards.protocol),
        proposals=lambda wildcards: experiments.proposals_of_test_set(wildcards.experiment, wildcards.protocol),
    output:
        metrics=report(
            "results/{experiment}/proposals{protocol}/metrics.json",
            caption="../report/metrics.rst",
            category="Metrics",
            labels=lambda wildcards: {**test_set(wildcards), "model": "object proposals"},
        ),
        draws="results/{experiment}/proposals{protocol}/bootstrap.npz",
    log:
        "logs/evaluate/{experiment}_proposals{protocol}.log",
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        folder="results/{experiment}/proposals{protocol}",
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
        protocol=lambda wildcards: protocol_option(wildcards.protocol),
        settings=lambda wildcards: experiments.evaluation_hash(wildcards.experiment, wildcards.protocol),
    shell:
        "vclr evaluate --config-file {params.config} --predictions {input.proposals}"
        " --output {params.folder}{params.protocol} {params.overrides} 2>&1 | tee {log}"


rule probe:
    """Evaluate a trained model on renderings of the test set that change how objects look."""
    input:
        done="runs/{experiment}/seed{seed}/DONE",
        data=lambda wildcards: experiments.probe_inputs(wildcards.experiment, wildcards.protocol),
    output:
        numbers=report(
            "results/{experiment}/seed{seed}{protocol}/probe.json",
            caption="../report/probe.rst",
            category="Probe",
            labels=lambda wildcards: {**test_set(wildcards), "model": f"seed {wildcards.seed}", "content": "numbers"},
        ),
        picture=report(
            "results/{experiment}/seed{seed}{protocol}/probe.png",
            caption="../report/probe.rst",
            category="Probe",
            labels=lambda wildcards: {**test_set(wildcards), "model": f"seed {wildcards.seed}", "content": "picture"},
        ),
    log:
        "logs/probe/{experiment}_seed{seed}{protocol}.log",
    threads: config["training_threads"]
    resources:
        gpu=gpus,
        gpu_model=gpu_model,
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        checkpoint="runs/{experiment}/seed{seed}/checkpoints/last.pt",
        folder="results/{experiment}/seed{seed}{protocol}",
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
        protocol=lambda wildcards: protocol_option(wildcards.protocol),
        settings=lambda wildcards: experiments.probe_settings(wildcards.experiment, wildcards.protocol),
    shell:
        "vclr probe --config-file {params.config} --checkpoint {params.checkpoint} --output {params.folder}"
        " train.num_threads={threads}{params.protocol} {params.overrides} 2>&1 | tee {log}"


rule audit:
    """Find the images of an experiment's test set that are also in its training set."""
    input:
        data=lambda wildcards: experiments.audit_inputs(wildcards.experiment, wildcards.protocol),
    output:
        leaks=report(
            "results/{experiment}/leaks{protocol}.json",
            caption="../report/leaks.rst",
            category="Leaks",
            labels=test_set,
        ),
    log:
        "logs/audit/{experiment}{protocol}.log",
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
        protocol=lambda wildcards: protocol_option(wildcards.protocol),
        sets=lambda wildcards: experiments.audited_sets(wildcards.experiment, wildcards.protocol),
    shell:
        "vclr audit --config-file {params.config} --output {output.leaks}{params.protocol} {params.overrides} 2>&1 | tee {log}"
