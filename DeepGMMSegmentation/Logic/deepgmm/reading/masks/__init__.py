"""LV masks and labels, from whatever they were drawn in."""
