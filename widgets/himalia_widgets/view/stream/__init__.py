"""The task stream, as pure data: rows, bars, crowds of bars, and what the hover of one says."""
