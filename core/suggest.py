"""The known word that was probably meant."""

from __future__ import annotations

from collections.abc import Collection

#: Longer words are not compared: nobody mistyped them.
_LONGEST = 128


def nearest(word: str, known: Collection[str], *, cutoff: float = 0.6) -> str:
    """The known word that is most similar, whatever its case; "" if none is similar. `cutoff` is from 0 to 1."""
    import difflib

    if not word or len(word) > _LONGEST:
        return ""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=cutoff)
    return lower[near[0]] if near else ""


def did_you_mean(word: str, known: Collection[str], otherwise: str = "", *, cutoff: float = 0.6) -> str:
    """A hint: `Did you mean backup? ` before `otherwise`, or `otherwise` alone."""
    near = nearest(word, known, cutoff=cutoff)
    return f"Did you mean {near}? {otherwise}".strip() if near else otherwise
