"""Source ``coderd_metrics``: agent reports from coderd's Prometheus metrics."""
