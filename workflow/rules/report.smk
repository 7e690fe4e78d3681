# What the experiments say: a report with pictures, and the study over several seeds.
#
# inputs:  results/{experiment}/seed{seed}{protocol}/{metrics,probe}.json, results/{experiment}/leaks{protocol}.json,
#          data/splits/{set}_{part}_{split}.compared.json,
#          results/{experiment}/{untrained,proposals}{protocol}/metrics.json, where `{protocol}` is as in evaluate.smk
# outputs: results/{demo,all,self_training}/ with report.html, {summary,curves,recall_by_size}.json and ledger.md,
#          results/study/study.{md,json}
#
# `snakemake --lint`: "Param folder is a prefix of input or output file but hardcoded": `vclr study` names the files itself.

reports = Reports(config, experiments)


rule report:
    """Compare experiments: table, curves, scenes, predictions, in one file."""
    input:
        metrics=lambda wildcards: reports.inputs(wildcards.report),
        leaks=lambda wildcards: reports.leaks(wildcards.report),
        probes=lambda wildcards: reports.probes(wildcards.report),
        comparisons=lambda wildcards: experiments.comparisons(reports[wildcards.report]["experiments"]),
    output:
        report=report(
            "results/{report}/report.html",
            caption="../report/comparison.rst",
            category="Comparison",
            labels={"report": "{report}", "content": "page"},
        ),
        summary=report(
            "results/{report}/summary.json",
            caption="../report/summary.rst",
            category="Comparison",
            labels={"report": "{report}", "content": "numbers"},
        ),
        ledger="results/{report}/ledger.md",
        # what `dvc plots` draws
        curves="results/{report}/curves.json",
        recall_by_size="results/{report}/recall_by_size.json",
    log:
        "logs/report/{report}.log",
    wildcard_constraints:
        report="demo|all|self_training",
    params:
        experiments=lambda wildcards: ",".join(reports[wildcards.report]["experiments"]),
        seeds=lambda wildcards: ",".join(map(str, reports[wildcards.report]["seeds"])),
        pairs=lambda wildcards: reports.pairs_option(wildcards.report),
        title=lambda wildcards: reports[wildcards.report]["title"],
        folder="results/{report}",
    shell:
        "vclr report --experiments {params.experiments} --seeds {params.seeds} {params.pairs}"
        " --runs runs --results results --output {params.folder} --title {params.title:q} 2>&1 | tee {log}"


rule summarize_study:
    """Means, spread and paired tests over seeds."""
    input:
        metrics=lambda wildcards: reports.metrics("study"),
    output:
        text=report(
            "results/study/study.md",
            caption="../report/study.rst",
            category="Study",
            labels={"content": "tables"},
        ),
        numbers=report(
            "results/study/study.json",
            caption="../report/study.rst",
            category="Study",
            labels={"content": "numbers"},
        ),
    log:
        "logs/report/study.log",
    params:
        experiments=",".join(config["study"]["experiments"]),
        seeds=",".join(map(str, config["study"]["seeds"])),
        pairs=reports.pairs_option("study"),
        folder="results/study",
    shell:
        "vclr study --experiments {params.experiments} --seeds {params.seeds} {params.pairs}"
        " --runs runs --results results --output {params.folder} 2>&1 | tee {log}"
