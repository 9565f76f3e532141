"""The worker: runs calls, holds nothing that matters, may die at any time.

Its parts: ``loop`` takes runs and answers, ``calls`` runs one, ``results`` writes down how it ended, ``space`` is where
large results go, ``interrupt`` stops a call, ``output`` tells what it prints (``bucket``: how much), ``wiring`` is what
it shares with its nanny.
"""
