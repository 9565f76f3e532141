"""``python -m himalia``: the command line."""

from __future__ import annotations

from himalia.cli import main

if __name__ == "__main__":
    main()
