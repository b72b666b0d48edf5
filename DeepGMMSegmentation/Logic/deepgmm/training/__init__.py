"""One network trained on many studies."""
