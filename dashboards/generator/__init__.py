"""Generator of the dashboards' JSON; used in development only and not part of the wheel."""
