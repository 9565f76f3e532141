"""What the runtime calls when a person looks (``himalia.views``): one function for each occasion.

Everything else of this package is imported in these functions, when it is needed.
"""

from __future__ import annotations
