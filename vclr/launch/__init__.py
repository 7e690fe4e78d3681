"""Starting trainings: on a cluster, on this machine, in several processes."""
