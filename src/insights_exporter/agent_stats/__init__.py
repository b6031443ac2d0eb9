"""Agent reports, from Coder's database or from coderd's metrics, accumulated into histograms and counters."""
