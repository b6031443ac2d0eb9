"""Source ``postgres``: agent reports from Coder's PostgreSQL database."""
