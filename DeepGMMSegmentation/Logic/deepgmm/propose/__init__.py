"""The LV mask proposed from the images, for a person to look at."""
