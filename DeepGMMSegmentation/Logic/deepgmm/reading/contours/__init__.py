"""Contours and segmentations that other programs drew, brought onto the grid of a study."""
