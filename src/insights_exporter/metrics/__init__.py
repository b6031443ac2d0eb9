"""What is published: every family once, and how families become text."""
