"""The panel of the DeepGMM module, one section a file; the only Qt in the house."""
