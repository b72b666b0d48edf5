"""Background work: a worker process, what is said to it, and whoever speaks to it."""
