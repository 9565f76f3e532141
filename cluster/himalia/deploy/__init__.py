"""Starting clusters on this host and stopping them, as objects and by commands.

No worker runs any of this.  Of a scheduler's process ``scheduler_process.py`` and ``scheduler_worker_commands.py`` are
the outermost layer: they publish where it is, and clean up after it.
"""
