"""A torchvision that was built for another torch, made importable."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

logger = logging.getLogger(__name__)

_held: list[Any] = []  # torch forgets the operators when the library object goes


def mend_torchvision() -> None:
    """Let torchvision be imported where its compiled operators do not load beside this torch.

    Its import then fails on an operator nobody uses here, and takes transformers, peft and cellpose with it;
    so the operators are declared, without code. A torchvision that works, or none, is left alone.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
        return
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    declared: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _held.append(declared)
    import_module("torchvision")
    logger.info("torchvision was built for another torch; its operators are declared, not loaded.")
