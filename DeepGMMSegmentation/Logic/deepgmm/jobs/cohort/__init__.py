"""A cohort: a folder of examinations in, one table, one page and every case's files out."""
