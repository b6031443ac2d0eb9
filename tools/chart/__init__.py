"""Write what the Helm chart takes from the project, and what is rendered from the chart."""
