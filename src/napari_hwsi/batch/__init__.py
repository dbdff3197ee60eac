"""Many slides, on this machine or on a dask cluster: each into its own result, all into one summary.

What may fail fails alone; what is stopped, or killed, goes on from its results when run again.
"""

from .board import Board, Row
from .cases import Case, read_cases
from .job import Job, Outcome, Settings
from .run import Report, run
from .sources import find_jobs

__all__ = [
    "Board",
    "Case",
    "Job",
    "Outcome",
    "Report",
    "Row",
    "Settings",
    "find_jobs",
    "read_cases",
    "run",
]
