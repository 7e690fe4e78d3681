# Training. The run folder is not an output: Snakemake deletes the outputs of a job that was interrupted, and training
# resumes from the checkpoints in it. Only the file that says that it is finished is declared. `tee -i` outlives a Ctrl-C,
# after which the training saves and says so.
#
# inputs:  configs/experiment/{experiment}.yaml and the data that it names
# outputs: runs/{experiment}/seed{seed}/ (checkpoints, metrics.jsonl, log.txt; DONE when finished)


rule train:
    """Train one experiment with one seed, going on where an interrupted run of the same settings stopped."""
    input:
        data=lambda wildcards: experiments.training_inputs(wildcards.experiment, config["overrides"]),
    output:
        done="runs/{experiment}/seed{seed}/DONE",
    log:
        "logs/train/{experiment}_seed{seed}.log",
    threads: config["training_threads"]
    params:
        config="configs/experiment/{experiment}.yaml",
        folder="runs/{experiment}/seed{seed}",
        overrides=experiments.quote_overrides(config["overrides"]),
        settings=lambda wildcards: experiments.training_hash(wildcards.experiment, config["overrides"]),
    shell:
        "vclr train --config-file {params.config} --resume"
        " train.output_dir={params.folder} train.seed={wildcards.seed} train.num_threads={threads}"
        " {params.overrides} 2>&1 | tee -i {log}"
