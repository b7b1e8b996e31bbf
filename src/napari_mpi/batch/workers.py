"""Several processes on this machine that work on one batch."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import psutil
import torch

from napari_mpi.batch.inputs import Job
from napari_mpi.batch.job import Settings, run_job
from napari_mpi.batch.records import Record

__all__ = ["in_processes", "sensible_workers"]

_Done = tuple[Job, Record] | BaseException

# A process that ends without a word is given its image so many times.
_MAX_TRIES = 3
# A worker with torch and a plane of common size takes about as much.
_WORKER_BYTES = 2 * 2**30


def sensible_workers(device: torch.device, threads: int) -> int:
    """Return how many workers serve this machine: one a graphics card, or by cores."""
    if device.type == "cuda" and device.index is None:
        return torch.cuda.device_count()
    if device.type != "cpu":
        return 1
    n_cores = int(psutil.cpu_count(logical=False) or os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):  # a cluster's job may use some of them only
        n_cores = min(n_cores, len(os.sched_getaffinity(0)))
    by_memory = int(psutil.virtual_memory().available) // _WORKER_BYTES
    return max(1, min(n_cores // threads, by_memory))


def in_processes(
    jobs: Sequence[Job], settings: Settings, n_workers: int, n_cards: int = 0
) -> Generator[tuple[Job, Record], None, None]:
    """Run jobs in so many processes, and yield each record when it is there.

    Parameters
    ----------
    jobs : sequence of Job
        They are begun in this order.
    settings : Settings
        What to do with them.
    n_workers : int
        Processes, at most as many as there are jobs.
    n_cards : int
        Graphics cards; if there are any, each worker sees one of them.
    """
    waiting = queue.SimpleQueue[Job]()
    for job in jobs:
        waiting.put(job)
    done = queue.SimpleQueue[_Done]()
    workers = [
        _Worker(number % n_cards if n_cards else None)
        for number in range(min(n_workers, len(jobs)))
    ]

    def serve(worker: _Worker) -> None:
        try:
            while True:
                job = waiting.get_nowait()
                done.put((job, worker.run(job, settings)))
        except queue.Empty:
            pass
        except BaseException as error:  # told where the records are read
            done.put(error)

    threads = [
        threading.Thread(target=serve, args=(worker,), daemon=True)
        for worker in workers
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            found = _next(done)
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        # A job can be killed at any time and carried on later.
        for worker, thread in zip(workers, threads, strict=True):
            worker.kill()
            while thread.is_alive():  # one may just have been started anew
                thread.join(0.1)
                worker.kill()


def _next(done: queue.SimpleQueue[_Done]) -> _Done:
    """Wait for what is done next; Windows hears Ctrl-C only between waits."""
    while True:
        with contextlib.suppress(queue.Empty):
            return done.get(timeout=0.5)


class _Worker:
    """One process, and another one if it dies."""

    def __init__(self, card: int | None) -> None:
        self._card = card
        self._pool: ProcessPoolExecutor | None = None
        self._process: psutil.Process | None = None
        self._killed = False

    def run(self, job: Job, settings: Settings) -> Record:
        for _ in range(_MAX_TRIES):
            if self._killed:
                break
            try:
                if self._pool is None:
                    self._start()
                assert self._pool is not None
                return self._pool.submit(run_job, job, settings).result()
            except (BrokenProcessPool, psutil.NoSuchProcess):
                self._pool = None
        return Record.of(
            job,
            "failed",
            f"its process ended {_MAX_TRIES} times without a word. Most often the "
            "system ends what takes too much memory: try fewer workers. A script that "
            "starts any needs the line 'if __name__ == \"__main__\":' above the call.",
        )

    def _start(self) -> None:
        self._pool = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(self._card,),
        )
        self._process = psutil.Process(self._pool.submit(os.getpid).result())

    def kill(self) -> None:
        self._killed = True
        pool, process = self._pool, self._process
        with contextlib.suppress(psutil.NoSuchProcess):
            if process is not None:
                process.kill()
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _prepare(card: int | None) -> None:
    """Make a new process a worker."""
    # Ctrl-C reaches the whole group; the one who waits for us decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if card is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        name = visible.split(",")[card] if visible else str(card)
        os.environ["CUDA_VISIBLE_DEVICES"] = name
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
