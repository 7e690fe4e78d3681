# Object proposals: class-agnostic masks that no person annotated.
#
# inputs:  data/raw/{set}/images/, data/raw/{set}/annotations_{part}.json (names the images of the part)
# outputs: data/proposals/{set}/{part}_{method}.json


rule proposals:
    """Propose objects in every image of a part of a set."""
    input:
        images=lambda wildcards: experiments.image_source(f"data/raw/{wildcards.set}/images"),
        annotations="data/raw/{set}/annotations_{part}.json",
    output:
        proposals="data/proposals/{set}/{part}_{method}.json",
    log:
        "logs/proposals/{set}_{part}_{method}.log",
    wildcard_constraints:
        method="graph",
    params:
        images="data/raw/{set}/images",
    shell:
        "vclr proposals --method {wildcards.method} --images {params.images}"
        " --annotations {input.annotations} --output {output.proposals} 2>&1 | tee {log}"
