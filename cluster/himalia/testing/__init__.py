"""A whole cluster in one process: real machines, virtual time, a seeded and faulty world; and builders for unit tests.

``python -m himalia.testing.simulate --help`` runs it.  ``world`` has the clock, ``network`` the links, ``process``
what scheduler, nannies (``nannies``, ``workers``) and clients (``users``) have in common, ``plan`` what a run
consists of, ``workload`` and ``faults`` draw it, ``checks`` says what must be true.

For tests of single parts: ``builders`` makes messages and hosts, ``stages`` puts one machine on a stage (or a client
beside a cluster in its own process), ``clock`` is an event loop whose time the test moves, ``wire`` the connections in
memory of real endpoints.
"""
