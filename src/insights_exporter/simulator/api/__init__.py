"""The HTTP API of a simulated deployment, and its faults."""
