"""Pretrained networks as files: weights, cards, and where they lie."""
