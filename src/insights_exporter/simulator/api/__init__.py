"""The HTTP side of a simulated Coder: what a deployment answers, and how it fails."""
