"""Starting and stopping clusters, finding them again, and showing them.

Nothing here runs inside a scheduler, nanny or worker, except that a scheduler removes its own cluster file at its end.
"""
