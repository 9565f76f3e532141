"""Starting clusters on this host and stopping them, as objects and by commands.

- ``cluster.py`` what every cluster object offers; ``local.py`` the one on this machine, ``local_plan.py`` what each of
  its processes is told, ``local_launch.py`` starts and ends them; ``apart.py`` runs coroutines for callers that have
  no loop, or are inside of one;
- ``layout.py`` how many workers, threads and bytes; ``network.py`` addresses;
- ``keeper.py`` starts a process again that ended, as often as ``patience.py`` says;
- ``scheduler_process.py``, with ``service_config.py``, the scheduler of a named cluster;
- ``scheduler_worker_commands.py`` and ``ls_stop_commands.py`` what the commands of these names do;
- ``dashboard/`` the process of the dashboard, for whoever visits it.

No worker runs any of this.  Of a scheduler's process ``scheduler_process.py`` and ``scheduler_worker_commands.py`` are
the outermost layer: they publish where it is, and clean up after it.
"""
