"""Stand-ins with the shape of other packages: change the import, keep the code."""
