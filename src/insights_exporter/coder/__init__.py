"""All that knows Coder: requests, answers, windows of time and versions."""
