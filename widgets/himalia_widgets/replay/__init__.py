"""A recorded cluster, shown by the same pages as a live one: with a time that a person chooses."""
