# Training: `vclr launch` submits and follows it, on a cluster or on this machine, so the rule itself runs here. The run
# folder is not an output: Snakemake deletes the outputs of a job that was interrupted, and training resumes from the
# checkpoints in it. Only the file that marks it as finished is declared. `tee -i` survives Ctrl-C, after which the
# training saves a checkpoint and logs that.
#
# inputs:  configs/experiment/{experiment}.yaml and the data that it names
# outputs: runs/{experiment}/seed{seed}/ (checkpoints, metrics.jsonl, log.txt, jobs/; DONE when finished)


localrules:
    train,


rule train:
    """Train one experiment with one seed, going on where an interrupted run of the same settings stopped."""
    input:
        data=lambda wildcards: experiments.training_inputs(wildcards.experiment, wildcards.seed),
        views=lambda wildcards: experiments.inspection(wildcards.experiment, config["view_checks"]),
    output:
        done="runs/{experiment}/seed{seed}/DONE",
    log:
        "logs/train/{experiment}_seed{seed}.log",
    threads: max(config["training_threads"], config["training_processes"])
    resources:
        backend="local",
        tasks_per_node=config["training_processes"],
        trainings=1,
        mem_mb=0,
        runtime=0,
    params:
        config=lambda wildcards: sources.experiment(wildcards.experiment),
        folder="runs/{experiment}/seed{seed}",
        launcher=lambda wildcards, threads, resources: job_resources.launcher_overrides(threads, resources),
        # made of `input`, as in views.smk: Snakemake compares `settings`, which leaves out what only a test set has
        overrides=lambda wildcards, input: experiments.overrides(wildcards.experiment),
        settings=lambda wildcards: experiments.training_hash(wildcards.experiment),
    shell:
        "vclr launch --config-file {params.config}"
        " train.output_dir={params.folder} train.seed={wildcards.seed} {params.launcher}"
        " {params.overrides} 2>&1 | tee -i {log}"
