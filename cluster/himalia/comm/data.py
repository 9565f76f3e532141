"""The data plane: results as raw bytes or mappings, from and to nannies.

==================== ==============================================================================
``data_wire``         where a message ends and raw bytes begin (pure)
``data_connection``   what both ends share: the order and the pace of what is written
``data_server``       the nanny's listener
``data_transfers``    where the bytes of an answer go: a process's own memory, or a store (pure)
``data_client``       how clients and nannies ask
``mapping``           ranges of the arena of this machine, read and written
``presence``          whether a reader that said nothing more still maps a range
==================== ==============================================================================
"""

from __future__ import annotations

from himalia.comm.data_client import DataClient
from himalia.comm.data_server import DataServer

__all__ = ["DataClient", "DataServer"]
