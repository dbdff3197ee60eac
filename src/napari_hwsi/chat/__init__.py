"""A conversation about a slide: who answers, what an answer carries, and what may leave the machine."""

from .answer import Answer, Asked
from .answerers import FORMS, Answerer, Likelihoods, answerer
from .ask import ask, ask_stream
from .check import check, planned
from .endpoint import list_models
from .facts import Facts, measure
from .occlude import occlude
from .picture import Picture, picture, picture_of, picture_under
from .repeat import repeat
from .server import KEY_VARIABLE, ChatServer

__all__ = [
    "FORMS",
    "KEY_VARIABLE",
    "Answer",
    "Answerer",
    "Asked",
    "ChatServer",
    "Facts",
    "Likelihoods",
    "Picture",
    "answerer",
    "ask",
    "ask_stream",
    "check",
    "list_models",
    "measure",
    "occlude",
    "picture",
    "picture_of",
    "picture_under",
    "planned",
    "repeat",
]
