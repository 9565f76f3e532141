"""A whole cluster in one process: real machines, virtual time, a seeded and faulty world; and builders for unit tests.

``python -m himalia.testing.simulate --help`` runs it.  ``world`` has the clock and the chance; ``network`` says what
processes ask of a network, of which there are two: ``model_network``, and ``real_network`` with ``process_loop`` and
``streams``.  ``process`` is what scheduler, nannies (``nannies``, ``pool``, ``memory``, ``workers``) and clients
(``clients``, ``users``, ``reused_names``) have in common, ``cluster`` all of them together.  ``plan`` is what a run
consists of, ``workload`` and ``faults`` draw it, ``calls`` is what calls do, ``checks`` says what must be true,
``shrink`` makes a plan that fails small.  In a ``scenario`` a test leads such a cluster step by step.

For tests of single parts: ``builders`` makes messages and hosts, ``stages`` puts one machine on a stage (or a client
beside a cluster in its own process), ``clock`` is an event loop whose time the test moves, ``wire`` the connections in
memory of real endpoints.
"""
