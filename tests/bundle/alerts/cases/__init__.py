"""For every alert: what makes it fire, what nearly does, and what ends it."""
