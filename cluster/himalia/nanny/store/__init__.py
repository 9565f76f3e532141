"""The results of a host: in memory that its workers map, on disk, and who may have how much of either."""
