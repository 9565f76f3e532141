"""The client: the process that holds futures, and with them the user's side of every call.

- what people hold: ``client.py``, ``future.py``, ``executor.py``; ``default.py`` the client that is meant when none is
  named, ``lifetime.py`` how one begins and ends;
- what its methods do: ``scattering.py``, ``waiting.py``, ``running.py``, ``workers.py``, ``holdings.py``,
  ``telemetry.py``, ``profile.py``, ``versions.py``, ``recreate.py``, ``interrupted_cell.py``, ``output.py``; with
  ``futures_in.py``, ``nesting.py`` and ``selecting.py`` to make out which futures and workers are meant;
- around a block of code: ``performance_report.py``, ``task_stream.py``, ``memory_sampler.py``;
- how it looks: ``reprs.py``, ``described.py``, ``listing.py``, ``pictures.py``, ``progress.py``;
- ``packing/`` makes calls of functions and arguments, ``dask/`` of Dask graphs; ``engine/`` sends them, follows what
  becomes of them, and gets their values.
"""

from __future__ import annotations
