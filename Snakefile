# The entry from the root of the repository, where Snakemake looks first. The workflow itself is workflow/Snakefile.
include: "workflow/Snakefile"


workflow.default_target = "all"  # Snakemake forgets the one of an included file
