# The workflow: data -> splits, views, object proposals -> training -> evaluation -> report.
#
#   snakemake demo --cores all                                  three experiments on toy scenes, a comparison
#   snakemake all --cores 2 --config 'experiments=[demo]'       the experiments of configs/workflow.yaml, or these
#   snakemake study --cores all                                 the comparison over several seeds
#   snakemake --profile slurm all                               the same on a cluster: slurm/config.yaml
#
# inputs:  configs/workflow.yaml, configs/experiment/*.yaml, data/raw/<set>/ of one's own sets
# outputs: data/, runs/<experiment>/seed<k>/, results/, logs/
import shlex
import sys

from snakemake.utils import min_version

sys.path.insert(0, workflow.basedir)  # so that `snakemake --snakefile PATH/Snakefile` works from elsewhere
from vclr.catalog.data_sets import SPLIT_FILES
from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.catalog.views import COMPUTED_VIEWS
from vclr.data.origins import Origins
from workflow import executor, job_resources, main_process, mistakes, shards
from workflow.experiments import Experiments, protocol_option

min_version("7.32")


workdir: workflow.basedir


executor.keep_interval()
executor.submit_what_is_ready()
if getattr(workflow, "is_main_process", False) and not workflow.dryrun:  # Snakemake 7, on Python 3.10, does not say
    main_process.release_dead_locks()
    main_process.pass_on_interrupts()


configfile: "configs/workflow.yaml"


mistakes.check_config(config, "workflow/schemas/workflow.schema.yaml", "configs/workflow.yaml")
with mistakes.in_one_line():
    origins = Origins(config.get("data", "data"), config["catalog"], config.get("evaluation_files", ""))
experiments = Experiments(config["overrides"], origins, config.get("evaluation_files", ""))
DATA = origins.root.as_posix()


wildcard_constraints:
    # "/nonvoc" for an experiment that lists protocols, else nothing
    protocol=r"(/[\w-]+)?",
    set=r"[\w-]+",
    part="train|val",
    split=r"[\w-]+",
    experiment=r"[\w-]+",
    seed=r"\d+",
    shard=r"\d+",
    shards=r"\d+",


include: "workflow/rules/data.smk"
include: "workflow/rules/views.smk"
include: "workflow/rules/proposals.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    demo,
    study,


rule all:
    """Every experiment of configs/workflow.yaml, compared in one report."""
    default_target: True
    input:
        "results/all/report.html",


rule demo:
    """Train, evaluate and compare the three experiments on toy scenes."""
    input:
        "results/demo/report.html",


rule study:
    """Repeat the comparison over several seeds."""
    input:
        "results/study/study.md",


if getattr(workflow, "is_main_process", False):
    mistakes.check_targets(workflow)
