"""A walk over the slide: by a vision model with a fixed list of actions, or by a person."""

from .actions import ACTIONS, Action, ActionError, Structured, read_action
from .record import Step, Walk
from .walker import Budget, Confirm, walk, walk_stream

__all__ = [
    "ACTIONS",
    "Action",
    "ActionError",
    "Budget",
    "Confirm",
    "Step",
    "Structured",
    "Walk",
    "read_action",
    "walk",
    "walk_stream",
]
