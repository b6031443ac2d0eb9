"""Alert rules, their runbooks, and the formats in which they are installed."""
