"""The names of the methods that propose objects. A method is an entry here and a module in `vclr/object_proposals/`."""

from __future__ import annotations

PROPOSAL_METHODS: dict[str, str] = {
    "graph": "regions of hierarchical segmentations, ranked by how they look; needs no weights",
}
