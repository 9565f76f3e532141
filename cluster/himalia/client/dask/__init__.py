"""Dask graphs and collections as calls of the cluster; Dask itself is imported when it is used."""
