"""The nanny: one per host; it keeps the host's results and its workers, and runs no user code.

The machine, pure:

- the entrance is ``machine.py``, a table of what is done about each event; ``events.py`` what can happen beside
  messages; ``state.py`` what it remembers; ``session.py`` the session with the scheduler, the clock, the end;
  ``checks.py`` what is always true;
- the life of a task: ``tasks.py`` its statuses; ``transitions.py``, made of the steps in ``runs.py``; ``fetching.py``
  gets its inputs; ``admission.py`` and ``reserved.py`` how many bytes of them; ``dispatching.py`` what goes to the
  workers next; ``withdrawing.py`` what is taken back; ``waits.py`` why it waits;
- results: ``holding.py`` what is announced and freed, ``held.py`` the books;
- workers: ``workers.py`` their statuses; ``workforce.py`` when one is started, ended, replaced; ``deaths.py`` what
  follows when one dies, ``evidence.py`` of what; ``memory.py`` when one is too large; ``watchdog.py`` when one stands
  still;
- what others ask or are told: ``requests.py``, ``heartbeat.py`` with ``activity.py``, ``output.py`` what calls print.

What does I/O:

- ``__main__.py``, ``config.py`` and ``paths.py`` how the process begins; ``shell.py`` performs what the machine wants;
- worker processes: ``starting.py``, ``template.py`` which forks them, ``processes.py`` reads from, ends and reaps them;
- talking to them: ``exchange.py``, ``datagrams.py``, ``slots.py``;
- ``store/`` the bytes of the results; ``meter.py`` and ``out_of_memory.py`` measure; ``profiling/`` samples stacks.
"""
