"""Tensors only: mixtures, EM, networks and deep fits. Imports nothing of studies or files."""
