# What the experiments say: a report with pictures, and the study over several seeds.
#
# inputs:  results/{experiment}/seed{seed}/metrics.json, results/{experiment}/{untrained,proposals}/metrics.json,
#          results/{experiment}/leaks.json
# outputs: results/{demo,all}/report.html, results/{demo,all}/summary.json, results/study/study.{md,json}

REPORTS = {"demo": config["demo"], "all": config}


def comparison_metrics(chosen):
    """List the metrics of every experiment and seed of a part of the configuration."""
    return expand(
        "results/{experiment}/seed{seed}/metrics.json", experiment=chosen["experiments"], seed=chosen["seeds"]
    )


def report_inputs(wildcards):
    """List the metrics that a report shows, those of untrained models and of object proposals included."""
    chosen = REPORTS[wildcards.report]
    untrained = [name for name in chosen["experiments"] if name in config["untrained"]]
    proposals = [name for name in untrained if experiments.proposals_of_test_set(name, config["overrides"])]
    references = expand("results/{experiment}/untrained/metrics.json", experiment=untrained)
    references += expand("results/{experiment}/proposals/metrics.json", experiment=proposals)
    return comparison_metrics(chosen) + references


rule report:
    """Compare experiments: table, curves, scenes, predictions, in one file."""
    input:
        metrics=report_inputs,
        leaks=lambda wildcards: expand(
            "results/{experiment}/leaks.json", experiment=REPORTS[wildcards.report]["experiments"]
        ),
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
        title=lambda wildcards: REPORTS[wildcards.report]["title"],
        folder="results/{report}",
    shell:
        "vclr report --experiments {params.experiments} --seeds {params.seeds} --runs runs --results results"
        " --output {params.folder} --title {params.title:q} 2>&1 | tee {log}"


rule summarize_study:
    """Means, spread and paired tests over seeds."""
    input:
        metrics=comparison_metrics(config["study"]),
    output:
        text="results/study/study.md",
        numbers="results/study/study.json",
    log:
        "logs/report/study.log",
    params:
        experiments=",".join(config["study"]["experiments"]),
        seeds=",".join(map(str, config["study"]["seeds"])),
        folder="results/study",
    shell:
        "vclr study --experiments {params.experiments} --seeds {params.seeds}"
        " --runs runs --results results --output {params.folder} 2>&1 | tee {log}"
