"""What overrides leave behind: a name that no longer counts, views of other photos, a number without a weight."""

from __future__ import annotations

import logging
from collections.abc import Collection

from vclr.config.detectron2_checks import refuse_unused
from vclr.config.tree import Config
from vclr.errors import UsageError

log = logging.getLogger("vclr.config")


def check_overrides(config: Config, keys: Collection[str]) -> None:
    """Refuse an override without effect, and say in one line what stays beside an override and may not fit it.

    Args:
        config: the whole configuration.
        keys: the settings that were given on the command line.

    Raises:
        UsageError: a setting is given that only checkpoints hold; a data set of the catalog is named, but the
            configuration has files of its own; or a setting has no effect on a model of detectron2.
    """
    if config.model.backbone.architecture:
        raise UsageError("model.backbone.architecture: cannot be set; name the model with model.backbone.source")
    for part, own in {"train": config.data.train, "test": config.data.test}.items():
        name = f"dataloader.{part}.dataset.names"
        if name in keys and own.annotations:
            value = getattr(config.dataloader, part).dataset.names
            raise UsageError(
                f"{name}={value}: has no effect, because data.{part}.annotations={own.annotations} comes first; add "
                f"data.{part}.annotations='' data.{part}.images='' data.{part}.views={{}}"
            )
    refuse_unused(config, keys)
    if "model.dn_number" in keys and config.model.dn_number and not config.model.denoises:
        log.warning(
            "model.dn_number=%d: has no effect without a weight above 0, such as "
            "model.criterion.weight_dict.loss_class_dn=1",
            config.model.dn_number,
        )
    replaced = [f"data.train.{key}" for key in ("annotations", "images")]
    if {*replaced} <= {*keys} and not any(key.startswith("data.train.views") for key in keys):
        folders = [f"{view}={folder}" for view, folder in config.data.train.views.items() if folder]
        if folders and config.data.train.annotations:
            log.warning(
                "%s are overridden, but data.train.views is not (%s): if those views are of other photos, name yours, "
                "or leave them out with data.train.views={}",
                *(" and ".join(replaced), ", ".join(folders)),
            )
