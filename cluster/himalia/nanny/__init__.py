"""The nanny: one per host; it keeps the host's results and its workers, and runs no user code."""
