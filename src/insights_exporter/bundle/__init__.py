"""What ships beside the exporter: dashboards and alert rules, and the queries that both are made of."""
