"""Metric families: catalogue, samples, series limits, text encoding and self metrics."""
