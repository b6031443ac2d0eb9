"""Cases of all alerts: series that fire, near misses, and series that resolve."""
