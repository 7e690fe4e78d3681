"""From files to batches: catalog, samples, geometry, views, corruption, loaders."""
