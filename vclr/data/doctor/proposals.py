"""Check object proposals against the training set for which they are used."""

from __future__ import annotations

from pathlib import Path

from vclr.coco.file import open_despite_bad_numbers
from vclr.data.doctor import kinds
from vclr.data.doctor.annotations import Contents, check_annotations
from vclr.data.doctor.kinds import Use
from vclr.errors import UserError
from vclr.file_names import file_key
from vclr.finding import OK, Finding
from vclr.worker_pool import WorkerPool


def check_proposals(path: Path, training: Contents, pool: WorkerPool) -> list[Finding]:
    """Check a json of proposals, whose images are matched with the training set's by file name."""
    use = Use(evaluates=False)
    try:
        coco = open_despite_bad_numbers(path)
    except UserError as error:
        return kinds.UNREADABLE_JSON.found(use, str(error))
    findings, contents = check_annotations(coco, Use(trains=False, evaluates=False), pool)
    if scored := training.num_objects + training.num_crowds - len(training.without_score):
        says = f"{path}: {scored} annotations of the training set have a `score`, so they are object proposals already"
        findings += kinds.TWICE.found(use, says)
    for position, entry_id in contents.without_score:
        says = f"{path}: annotations[{position}] (id {entry_id}): has no numeric `score`"
        findings += kinds.NO_SCORE.found(use, says)
    sizes = {file_key(image["file_name"]): (image["height"], image["width"]) for image in training.images.values()}
    others = 0
    for position, image in contents.images.items():
        size = image["height"], image["width"]
        wanted = sizes.get(file_key(image["file_name"]))
        others += wanted is None
        if wanted is not None and size != wanted:
            says = f"{path}: images[{position}] ({image['file_name']}): is {size[1]}x{size[0]}"
            findings += kinds.OTHER_PROPOSAL_SIZE.found(use, f"{says}, but {wanted[1]}x{wanted[0]} in the training set")
    if others:
        kind = kinds.NO_COMMON_PHOTO if others == len(contents.images) and sizes else kinds.UNKNOWN_PHOTO
        says = f"{path}: {others} of {len(contents.images)} images are not in the training set"
        findings += kind.found(use, says)
    with_proposals = {
        file_key(image["file_name"]) for image in contents.images.values() if image["id"] in contents.with_object
    }
    num_with = sum(name in with_proposals for name in sizes)
    says = f"{path}: {contents.num_objects} proposals for {num_with} of {len(sizes)} photos of the training set"
    return [*findings, Finding(OK, "proposals", says)]
