"""Options: what they are called, where they come from, and what they may be.

The models in `models.py` are the only source; `table.py` is generated from them, so that `--help` is fast.
"""
