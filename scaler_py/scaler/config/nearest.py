"""The name that somebody probably meant."""

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`; empty when none is like it."""
    # Imported here: only errors need it, and help must be fast.
    import difflib

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
