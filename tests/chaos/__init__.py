"""Random kills of real processes under a mixed load, every value of which is checked; ``python -m tests.chaos``."""
