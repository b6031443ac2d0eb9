"""Benchmarks of the exporter against straightforward implementations; run ``python -m benchmarks``."""
