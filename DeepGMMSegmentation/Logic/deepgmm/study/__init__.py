"""Data only: sequences, LV mask, geometry, files and the phantom. Knows no torch."""
