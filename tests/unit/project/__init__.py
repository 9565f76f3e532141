"""Tests of the project itself: its documents, its imports, its scripts, its benchmarks' report."""
