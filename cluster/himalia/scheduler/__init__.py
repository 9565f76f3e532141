"""The scheduler: what is to be computed, where, and who holds what.  It never runs nor unpickles user bytes.

``machine.py`` is the entrance; ``state.py`` what it remembers; ``transitions.py`` the life of a task; ``placement.py``
which host gets it; ``loss.py`` what happens when something dies; ``requests.py`` questions with answers; ``shell.py``
the only I/O.
"""
