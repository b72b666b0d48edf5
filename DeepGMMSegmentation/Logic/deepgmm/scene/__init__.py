"""The scene of 3D Slicer: nodes to a study, a result to nodes. Knows neither Qt nor slicer.app."""
