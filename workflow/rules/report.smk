# What the experiments say: a report with pictures, and the study over several seeds.
#
# inputs:  results/{experiment}/seed{seed}{protocol}/metrics.json, results/{experiment}/leaks{protocol}.json,
#          data/splits/{set}_{part}_{split}.compared.json,
#          results/{experiment}/{untrained,proposals}{protocol}/metrics.json, where `{protocol}` is as in evaluate.smk
# outputs: results/{demo,all}/report.html, results/{demo,all}/summary.json, results/study/study.{md,json}

REPORTS = {"demo": config["demo"], "all": config}


def for_each_protocol(pattern, names, **values):
    """Fill a pattern for every experiment of a list and each of its protocols."""
    return [
        path
        for name in names
        for protocol in experiments.protocols_of(name)
        for path in expand(pattern, experiment=name, protocol=protocol, **values)
    ]


def comparison_metrics(chosen):
    """List the metrics of every experiment, protocol and seed of a part of the configuration."""
    pattern = "results/{experiment}/seed{seed}{protocol}/metrics.json"
    return for_each_protocol(pattern, chosen["experiments"], seed=chosen["seeds"])


def pairs_option(chosen):
    """Return the option that names the pairs of `compare` whose experiments are in a part of the configuration."""
    pairs = [":".join(pair) for pair in config.get("compare", []) if set(pair) <= set(chosen["experiments"])]
    return f"--pairs {','.join(pairs)}" if pairs else ""


def report_inputs(wildcards):
    """List the metrics that a report shows, those of untrained models and of object proposals included."""
    chosen = REPORTS[wildcards.report]
    untrained = [name for name in chosen["experiments"] if name in config["untrained"]]
    proposals = [
        f"results/{name}/proposals{protocol}/metrics.json"
        for name in untrained
        for protocol in experiments.protocols_of(name)
        if experiments.proposals_of_test_set(name, protocol)
    ]
    references = for_each_protocol("results/{experiment}/untrained{protocol}/metrics.json", untrained)
    return comparison_metrics(chosen) + references + proposals


rule report:
    """Compare experiments: table, curves, scenes, predictions, in one file."""
    input:
        metrics=report_inputs,
        leaks=lambda wildcards: for_each_protocol(
            "results/{experiment}/leaks{protocol}.json", REPORTS[wildcards.report]["experiments"]
        ),
        comparisons=lambda wildcards: experiments.comparisons(REPORTS[wildcards.report]["experiments"]),
    output:
        report="results/{report}/report.html",
        summary="results/{report}/summary.json",
    log:
        "logs/report/{report}.log",
    wildcard_constraints:
        report="demo|all",
    params:
        experiments=lambda wildcards: ",".join(REPORTS[wildcards.report]["experiments"]),
        seeds=lambda wildcards: ",".join(map(str, REPORTS[wildcards.report]["seeds"])),
        pairs=lambda wildcards: pairs_option(REPORTS[wildcards.report]),
        title=lambda wildcards: REPORTS[wildcards.report]["title"],
        folder="results/{report}",
    shell:
        "vclr report --experiments {params.experiments} --seeds {params.seeds} {params.pairs}"
        " --runs runs --results results --output {params.folder} --title {params.title:q} 2>&1 | tee {log}"


rule summarize_study:
    """Means, spread and paired tests over seeds."""
    input:
        metrics=lambda wildcards: comparison_metrics(config["study"]),
    output:
        text="results/study/study.md",
        numbers="results/study/study.json",
    log:
        "logs/report/study.log",
    params:
        experiments=",".join(config["study"]["experiments"]),
        seeds=",".join(map(str, config["study"]["seeds"])),
        pairs=pairs_option(config["study"]),
        folder="results/study",
    shell:
        "vclr study --experiments {params.experiments} --seeds {params.seeds} {params.pairs}"
        " --runs runs --results results --output {params.folder} 2>&1 | tee {log}"
