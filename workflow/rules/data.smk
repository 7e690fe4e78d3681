# Data sets that commands make, and the annotations that an experiment trains on.
#
# inputs:  data/raw/{set}/annotations_{part}.json (toy: none, it is generated)
# outputs: data/raw/toy/, data/views/toy/{depth,style}/, data/splits/{set}_{part}_{split}.json


rule fetch_toy:
    """Generate the toy scenes with their true depth and style views."""
    output:
        train="data/raw/toy/annotations_train.json",
        val="data/raw/toy/annotations_val.json",
        manifest="data/raw/toy/manifest.json",
        depth="data/views/toy/depth/manifest.json",
        style="data/views/toy/style/manifest.json",
    log:
        "logs/fetch/toy.log",
    shell:
        "vclr fetch toy --output data 2>&1 | tee {log}"


rule split:
    """Keep the annotations of a split's known classes."""
    input:
        annotations="data/raw/{set}/annotations_{part}.json",
    output:
        annotations="data/splits/{set}_{part}_{split}.json",
    log:
        "logs/split/{set}_{part}_{split}.log",
    shell:
        "vclr split {wildcards.split} --annotations {input.annotations} --output {output.annotations} 2>&1 | tee {log}"
