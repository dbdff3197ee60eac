"""A dask cluster of this machine's own: worker processes that are replaced when they die."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import Any

import dask
from distributed import Nanny, Scheduler, Security
from distributed.deploy.spec import SpecCluster
from distributed.system import MEMORY_LIMIT

from ..errors import InputError, MissingDependencyError

_HERE = "127.0.0.1"
_PAGES = f"{_HERE}:0"  # dask serves its state there even without a dashboard; unasked, to the whole network

_MEMORY = {"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}
"""dask has workers give memory back at once, which costs arrays of this size two thirds more time."""


def start(workers: int, on_gpu: bool = False) -> tuple[Any, str]:
    """Start a scheduler in this process and ``workers`` worker processes of one thread each.

    Returns dask's cluster and the address of its dashboard, '' where there is no bokeh to draw it. Memory
    is shared out evenly; a worker that outgrows its share is restarted by dask. Raises InputError where
    GPUs are asked for and there is none, MissingDependencyError without the package cryptography.
    """
    gpus = _gpus() if on_gpu else []
    try:
        security = Security.temporary()
    except ImportError as error:
        raise MissingDependencyError(
            "Local workers need the package cryptography, to talk among themselves. "
            "Run: pip install 'napari-hwsi[batch]'"
        ) from error
    options: dict[str, Any] = {
        "host": _HERE,
        "protocol": "tls://",
        "security": security,
        "nthreads": 1,
        "memory_limit": MEMORY_LIMIT // workers,
        "preload": [f"{__package__}.interrupts"],
        "silence_logs": logging.ERROR,
        "dashboard": False,
        "dashboard_address": _PAGES,
    }
    specs = {}
    for i in range(workers):
        own = (
            {"env": {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]}, "resources": {"GPU": 1}} if on_gpu else {}
        )
        specs[i] = {"cls": Nanny, "options": options | own}
    pages = find_spec("bokeh") is not None
    scheduler = {
        "host": _HERE,
        "protocol": "tls://",
        "security": security,
        "dashboard": pages,
        "dashboard_address": _PAGES,
    }
    with dask.config.set(_MEMORY):
        cluster = SpecCluster(
            workers=specs,
            scheduler={"cls": Scheduler, "options": scheduler},
            security=security,
            silence_logs=logging.ERROR,
            name="hwsi",
        )
    return cluster, cluster.dashboard_link if pages else ""


def _gpus() -> list[str]:
    """Return the GPUs this process may use, by the names CUDA_VISIBLE_DEVICES takes."""
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise InputError(
            "There is no CUDA device on this machine. Leave device='cuda' out, or give a scheduler."
        )
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    return own.split(",")[:count] if own else [str(i) for i in range(count)]
