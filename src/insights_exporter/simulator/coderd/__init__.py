"""What coderd tells Prometheus itself, computed from the same events as the answers of the API."""
