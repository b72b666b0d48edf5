"""Image files and their grids; a cine's frames."""
