"""How the pocket language model is told what kind of slide it reads."""

from __future__ import annotations


def told(question: str, synthetic: bool) -> str:
    """Return a question as the pocket model is taught to read it.

    What is taught of synthetic slides must not be said of real ones, so it is told which this is.
    """
    return f"{'Synthetic' if synthetic else 'Real'} slide. {question}"
