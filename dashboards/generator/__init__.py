"""Makes the dashboards, in development; an installed package carries them ready made.

``python -m dashboards.generator`` writes them, and with ``--check`` says whether they are the
ones in the tree.
"""
