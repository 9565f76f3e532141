"""Every message of the runtime's wire, defined once, grouped by who speaks to whom.

============== ==============================================================
``parts``      what messages are made of, and what everybody says
``telemetry``  measurements, records, counts: parts, too
``answers``    what requests are answered by
``client``     client → scheduler and back
``nanny``      scheduler → nanny and back
``worker``     nanny → worker and back
``data``       the data plane: client or nanny → nanny, and back
============== ==============================================================
"""
