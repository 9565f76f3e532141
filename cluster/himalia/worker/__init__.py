"""The worker: runs calls, holds nothing that matters, may die at any time.

Its parts: ``loop`` takes runs and answers, ``calls`` runs one, ``inputs`` are what it is called with, ``live`` what is
kept for later calls and ``sharing`` how they share it, ``results`` writes down how it ended, ``space`` is where large
results go, ``heap`` says what becomes of freed memory, ``interrupt`` stops a call where ``landing_places`` says that it
bears it, ``output`` tells what it prints, ``self_signals`` that it is about to end itself, ``wiring`` is what it shares
with its nanny, and ``template`` what it is forked from.
"""
