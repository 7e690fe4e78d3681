"""Starting trainings: several processes of one machine."""
