"""Workers of a dask.distributed cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from uuid import uuid4

from napari_mpi.batch.errors import reason
from napari_mpi.batch.inputs import Job
from napari_mpi.batch.job import Settings, run_job
from napari_mpi.batch.records import Record

__all__ = ["on_cluster"]

_TIMEOUT = 30  # seconds


def on_cluster(
    jobs: Sequence[Job], settings: Settings, address: str
) -> Generator[tuple[Job, Record], None, None]:
    """Run jobs on a cluster, and yield each record when it is there.

    Parameters
    ----------
    jobs : sequence of Job
        Their paths have to be the same on all machines.
    settings : Settings
        What to do with them.
    address : str
        The scheduler, for instance ``tcp://node1:8786``.

    Raises
    ------
    ImportError
        If dask.distributed is not installed.
    OSError
        If there is no scheduler at the address.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ImportError(
            "A cluster needs dask.distributed: run `pip install 'napari-mpi[cluster]'`."
        ) from error
    try:
        client = Client(address, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(
            f"No scheduler answers at {address} ({error}): start one with "
            "`dask scheduler`, and give the address that it prints."
        ) from error
    run = uuid4().hex
    with client:
        futures = {
            # What a worker finished before it died is on the disk for the next one.
            client.submit(
                run_job, job, settings, key=f"napari-mpi-{job.id}-{run}", pure=False
            ): job
            for job in jobs
        }
        for future in as_completed(list(futures), loop=client.loop):
            job = futures[future]
            failure = future.exception()
            if failure is None:
                yield job, future.result()
            else:
                yield job, Record.of(job, "failed", reason(failure))
