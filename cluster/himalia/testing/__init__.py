"""A whole cluster in one process: real machines, virtual time, a seeded and faulty world; and builders for unit tests.

``python -m himalia.testing.simulate --help`` runs it.  ``world`` has the clock, ``network`` the links, ``process``
what scheduler, nannies (``nannies``, ``workers``) and clients (``users``) have in common, ``plan`` what a run
consists of, ``workload`` and ``faults`` draw it, ``checks`` says what must be true, ``builders`` makes messages and
hosts for tests of single machines.
"""
