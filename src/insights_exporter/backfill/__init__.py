"""Backfill: the history of a deployment as samples with timestamps, from Coder's insights of past days."""
