"""A conversation about a slide: who answers, what an answer carries, and what may leave the machine."""

from .answer import Answer
from .answerers import FORMS, Answerer, answerer
from .ask import ask, ask_stream
from .endpoint import list_models
from .facts import Facts, measure
from .picture import Picture, picture, picture_of
from .server import KEY_VARIABLE, ChatServer

__all__ = [
    "FORMS",
    "KEY_VARIABLE",
    "Answer",
    "Answerer",
    "ChatServer",
    "Facts",
    "Picture",
    "answerer",
    "ask",
    "ask_stream",
    "list_models",
    "measure",
    "picture",
    "picture_of",
]
