"""A simulated Coder deployment for demos and tests."""
