"""Benchmarks: run by hand or by `make bench`, not in the suite: a timed test proves nothing."""
