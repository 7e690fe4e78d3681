"""Settings of a training that takes a CPU a fraction of a second per step."""

TINY = (
    "dataloader.train.mapper.short_edge_length=[64]",
    "dataloader.test.mapper.short_edge_length=64",
    "model.num_queries=20",
    "model.criterion.num_points=64",
    "optimizer.milestones=[]",
    "train.device=cpu",
)
