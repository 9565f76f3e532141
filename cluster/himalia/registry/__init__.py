"""Which clusters there are, and which one is meant: by its object, address, name, file, or environment variable.

Nothing here speaks to a cluster; ``follow`` does.
"""
