"""A simulated Coder deployment that answers like the real one; ``demo`` and the tests use it."""
