"""Questions and answers about slides: of synthetic ones from their truth, of any from what was measured."""

from .from_result import lessons_from_result
from .from_truth import KnownSlide, lessons_from_truth
from .lesson import Lesson, write_lessons

__all__ = ["KnownSlide", "Lesson", "lessons_from_result", "lessons_from_truth", "write_lessons"]
