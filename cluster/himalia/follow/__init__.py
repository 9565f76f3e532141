"""Asking a scheduler and following what it tells of its cluster, for those who submit nothing: views, commands."""
