"""Development tools: write documentation, alert files and the Helm chart. Not in the wheel."""
