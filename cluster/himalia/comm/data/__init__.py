"""The data plane: results as raw bytes or mappings, from and to nannies.

============== ==============================================================================
``wire``       where a message ends and raw bytes begin (pure)
``connection`` what both ends share: the order and the pace of what is written
``server``     the nanny's listener
``transfers``  where the bytes of an answer go: a process's own memory, or a store (pure)
``client``     how clients and nannies ask
``mapping``    ranges of the arena of this machine, read and written
``presence``   whether a reader that said nothing more still maps a range
============== ==============================================================================
"""
