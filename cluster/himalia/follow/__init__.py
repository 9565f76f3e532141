"""Asking a scheduler and following what it tells of its cluster, for those who submit nothing: views, commands.

- asking: ``control.py``, with ``awaited_answers.py``; ``arrivals.py`` waits for workers;
- following: ``source.py`` what views are fed by, ``feed.py`` a cluster as one, ``thread_feed.py`` from any thread;
- recording: ``recorder.py``, ``recording_contents.py``, ``recording_file.py``;
- ``progress.py`` shows how far something is, ``rewritten.py`` on one line of a terminal.
"""
