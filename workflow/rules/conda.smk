# The conda environment of the whole workflow, made and used with `--software-deployment-method conda` alone. Snakemake itself
# imports from it what the workflow needs, so this stands before every import of `vclr`.
#
# inputs: workflow/envs/vclr.yaml
# outputs: the environment, which Snakemake keeps in .snakemake/conda


conda: "../envs/vclr.yaml"
