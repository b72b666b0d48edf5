"""Whole studies: from files, from an imported folder, from folders of cases."""
