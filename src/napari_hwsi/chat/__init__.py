"""A conversation about a slide: who answers, what an answer carries, and what may leave the machine."""

from .answer import Answer, Asked
from .answerers import FORMS, KINDS, Answerer, Kind, Likelihoods, answerer
from .ask import ask, ask_stream
from .check import check, planned
from .endpoint import list_models, sees_pictures
from .facts import Facts, measure
from .keys import KEY_VARIABLE, keep_key
from .occlude import occlude, occlude_answer, units_of
from .picture import Picture, picture, picture_of, picture_under
from .repeat import repeat
from .server import ChatServer

__all__ = [
    "FORMS",
    "KEY_VARIABLE",
    "KINDS",
    "Answer",
    "Answerer",
    "Asked",
    "ChatServer",
    "Facts",
    "Kind",
    "Likelihoods",
    "Picture",
    "answerer",
    "ask",
    "ask_stream",
    "check",
    "keep_key",
    "list_models",
    "measure",
    "occlude",
    "occlude_answer",
    "picture",
    "picture_of",
    "picture_under",
    "planned",
    "repeat",
    "sees_pictures",
    "units_of",
]
