"""Comparisons of the exporter with the plain ways to do the same; ``python -m benchmarks`` runs them."""
