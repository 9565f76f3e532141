"""himalia beside its peers, case by case, on this machine: ``make bench``.  Times are printed, never asserted."""
