"""Gradients of a batch, computed crop by crop on every core."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Barrier

import torch
from torch import Tensor

from napari_mpi.engine.convolution import in_bfloat16
from napari_mpi.engine.masking import masked_mse
from napari_mpi.engine.network import Hourglass

__all__ = ["Gradients"]


class Gradients:
    """Computes gradients crop by crop, on a CPU as many at a time as it has cores.

    With one crop at a time, batch norm has the statistics of one image, as it has when
    that image is filled. Small crops keep one core busy each, and no more.
    """

    def __init__(self, network: Hourglass, bfloat16: bool) -> None:
        self._bfloat16 = bfloat16
        self._parameters = list(network.parameters())
        self._n_threads = torch.get_num_threads()
        self._pool: ThreadPoolExecutor | None = None
        n_workers = 1
        if self._parameters[0].device.type == "cpu":
            n_workers = self._n_threads
            self._pool = _pool(n_workers)
        self._replicas: SimpleQueue[Hourglass] = SimpleQueue()
        for _ in range(n_workers):
            self._replicas.put(_replica(network))

    def backward(self, noisy: Tensor, target: Tensor, mask: Tensor) -> float:
        """Set every parameter's gradient for a batch (B, C, H, W), return the loss."""

        def one(crop: int) -> tuple[Tensor, tuple[Tensor, ...]]:
            chosen = slice(crop, crop + 1)
            network = self._replicas.get()
            try:
                with in_bfloat16(noisy.device, self._bfloat16):
                    predicted = network(noisy[chosen] * mask[chosen], mask[chosen])
            finally:  # or the next crop would wait for ever
                self._replicas.put(network)
            error = masked_mse(predicted.float(), target[chosen], mask[chosen])
            error = error / len(target)
            return error.detach(), torch.autograd.grad(error, self._parameters)

        crops = range(len(target))
        done = map(one, crops) if self._pool is None else self._pool.map(one, crops)
        losses, gradients = zip(*done, strict=True)
        for parameter, parts in zip(
            self._parameters, zip(*gradients, strict=True), strict=True
        ):
            # Added in the order of the crops, whoever was done first.
            parameter.grad = torch.stack(parts).sum(dim=0)
        # Last, as a graphics card has to be waited for.
        return sum(float(loss) for loss in losses)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _pool(n_workers: int) -> ThreadPoolExecutor:
    """Return a pool of threads that compute with one thread each."""
    n_threads = torch.get_num_threads()
    all_here = Barrier(n_workers + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        # Only with the first look does a thread take on what is set, and keep it.
        torch.get_num_threads()
        all_here.wait()

    pool = ThreadPoolExecutor(n_workers, initializer=begin)
    for _ in range(n_workers):  # none is idle before all are here
        pool.submit(int)
    all_here.wait()
    # What one thread is told counts for threads that begin later, too, as those of a
    # denoising beside the training.
    torch.set_num_threads(n_threads)
    return pool


def _replica(network: Hourglass) -> Hourglass:
    """Copy a network whose parameters stay in common with the original's.

    What batch norm counts while it runs stays apart, so that no thread changes what
    another one reads.
    """
    copied = copy.deepcopy(network)
    for own, original in zip(copied.modules(), network.modules(), strict=True):
        for name, parameter in original.named_parameters(recurse=False):
            own.register_parameter(name, parameter)
    return copied
