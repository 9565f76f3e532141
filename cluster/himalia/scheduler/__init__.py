"""The scheduler: what is to be computed, where, and who holds what.  It never runs nor unpickles user bytes.

``machine.py`` is the entrance, a table of what is done about each event; ``events.py`` what can happen beside messages;
``state.py`` what it remembers; ``submission.py`` what clients send in; ``transitions.py`` the life of a task;
``placement.py`` which host gets it; ``freeing.py`` what frees its result, ``held.py`` which hosts have that;
``cancelling.py`` what happens when somebody gives up, ``deaths.py`` when a worker or a host dies or a result is lost;
``membership.py`` who comes and goes; ``scaling.py`` how many workers a host shall have; ``questions.py``,
``overview.py``, ``task_page.py``, ``recreating.py`` and ``explaining/`` what it knows, for who asks; ``forwarding.py``
questions that hosts have to answer; ``following.py`` what followers of the telemetry are sent; ``output.py`` what calls
print; ``checks.py`` what is always true; ``shell.py`` the only I/O.
"""
