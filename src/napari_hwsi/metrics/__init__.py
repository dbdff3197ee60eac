"""Scores: of instances, classes, rankings, texts, places and survival, and how sure they are."""

from .bootstrap import Interval, Scorer, bootstrap, mean_of
from .classes import (
    area_under_curve,
    balanced_accuracy,
    calibration_error,
    quadratic_kappa,
    weighted_f1,
)
from .instances import (
    Detection,
    InstanceScores,
    Labels,
    Overlaps,
    PanopticQuality,
    aggregated_jaccard,
    detection,
    dice,
    instance_scores,
    overlaps,
    panoptic_quality,
    typed_instance_scores,
)
from .places import box_iou, pointing_hits
from .ranking import first_ranks, mean_reciprocal_rank, recall_at
from .survival import concordance
from .texts import METEOR, METEOR_WITHOUT_WORDNET, TextScores, text_scores

__all__ = [
    "METEOR",
    "METEOR_WITHOUT_WORDNET",
    "Detection",
    "InstanceScores",
    "Interval",
    "Labels",
    "Overlaps",
    "PanopticQuality",
    "Scorer",
    "TextScores",
    "aggregated_jaccard",
    "area_under_curve",
    "balanced_accuracy",
    "bootstrap",
    "box_iou",
    "calibration_error",
    "concordance",
    "detection",
    "dice",
    "first_ranks",
    "instance_scores",
    "mean_of",
    "mean_reciprocal_rank",
    "overlaps",
    "panoptic_quality",
    "pointing_hits",
    "quadratic_kappa",
    "recall_at",
    "text_scores",
    "typed_instance_scores",
    "weighted_f1",
]
