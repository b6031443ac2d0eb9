"""The Prometheus endpoint of a simulated coderd, computed from the same events as the API."""
