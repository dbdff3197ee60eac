"""Workers as SLURM jobs of their own, one a GPU, that come and go; the batch runs beside them.

python jobqueue.py LIST RESULTS [JOBS]        (pip install dask-jobqueue)
"""

from __future__ import annotations

import sys

from dask_jobqueue import SLURMCluster

import napari_hwsi as hwsi


def main() -> None:
    slides, results, jobs = sys.argv[1], sys.argv[2], int((*sys.argv[3:], 32)[0])
    cluster = SLURMCluster(
        cores=1,  # threads of a worker: one slide at a time
        processes=1,
        memory="16GB",
        job_cpu=4,
        walltime="24:00:00",
        worker_extra_args=["--resources", "GPU=1"],
        job_extra_directives=["--gpus=1"],
        job_script_prologue=["export OMP_NUM_THREADS=1 MALLOC_TRIM_THRESHOLD_=134217728"],
    )
    # As many as wanted, at once: a job that ends, or is taken away, is asked for again.
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
    hwsi.batch.run(slides, results, scheduler=cluster.scheduler_address, device="cuda")


if __name__ == "__main__":
    main()
