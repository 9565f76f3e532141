"""The cluster widget: a cluster as the last line of a cell, live while it runs and readable when it has ended."""
