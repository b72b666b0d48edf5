"""What a study is, and what is wrong with it: sequences, LV mask, geometry. No files, no torch."""
