"""Do the same work on a device over and over.

A pass of the network is a hundred small pieces of work, an iteration several hundred.
To hand each to a graphics card takes the processor longer than the card needs for it.
On CUDA they are recorded once, and from then on handed over as a whole.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from napari_mpi.engine.memory import is_out_of_memory

__all__ = ["Repeated", "adam", "can_record"]

_logger = logging.getLogger(__name__)

_Tensors = tuple[Tensor, ...]
_Shapes = tuple[torch.Size, ...]

# Recording takes as long as some calls do, so there have to be more than a few.
_CALLS_BEFORE = 8
# CUDA records for one thread at a time.
_recording = threading.Lock()
# Each thread has a stream of its own on each card, in which nothing else is done.
_of_thread = threading.local()
# Where recording failed, another attempt would, too, and each leaves something behind.
_failing: set[torch.device] = set()


class Repeated:
    """Work on tensors that is done over and over; call it like the work itself.

    Parameters
    ----------
    work : callable
        Takes tensors and returns a tuple of tensors, all on one device. Besides these
        it may read and change, in place, tensors that are there as long as it is. It
        draws no random numbers and never waits for the device, and what else it depends
        on does not change from call to call.

    Notes
    -----
    What a call returns is valid until the next call.
    """

    def __init__(self, work: Callable[..., _Tensors]) -> None:
        self._work = work
        self._n_calls: Counter[_Shapes] = Counter()
        self._recordings: dict[_Shapes, _Recording] = {}
        self._records = True

    def __call__(self, *inputs: Tensor) -> _Tensors:
        """Do the work once."""
        device = inputs[0].device
        if not self._records or device in _failing or not can_record(device):
            return self._work(*inputs)
        shapes = tuple(tensor.shape for tensor in inputs)
        recording = self._recordings.get(shapes)
        if recording is None and self._n_calls[shapes] < _CALLS_BEFORE:
            self._n_calls[shapes] += 1
            with _beside(_stream(device)):
                return self._work(*inputs)
        if recording is None:
            recording = self._recorded(inputs)
            if recording is None:
                return self._work(*inputs)
            self._recordings[shapes] = recording
        return recording.replay(inputs)

    def _recorded(self, inputs: _Tensors) -> _Recording | None:
        device = inputs[0].device
        try:
            return _Recording(self._work, inputs, _stream(device))
        except RuntimeError as error:
            _logger.warning("Going on without recording on %s: %s", device, error)
            self._records = False  # which takes memory of its own
            # Where memory runs out, to end the recording fails, too.
            before = error.__context__ or error
            if not (is_out_of_memory(error) or is_out_of_memory(before)):
                _failing.add(device)
            return None


class _Recording:
    """Work that is handed over as a whole, on tensors that stay in their place."""

    def __init__(
        self,
        work: Callable[..., _Tensors],
        inputs: _Tensors,
        stream: torch.cuda.Stream,
    ) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        self._graph = torch.cuda.CUDAGraph()
        device = inputs[0].device
        with _recording, torch.cuda.device(device), _same_stream_after(device):
            # Other threads, like those of a viewer, go on meanwhile.
            graph = torch.cuda.graph(
                self._graph, stream=stream, capture_error_mode="thread_local"
            )
            with graph:
                self._outputs = work(*self._inputs)

    def replay(self, inputs: _Tensors) -> _Tensors:
        """Do the work on other values."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._outputs


def can_record(device: torch.device) -> bool:
    """Whether work on a device is recorded."""
    return device.type == "cuda"


def adam(network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
    """Return an optimiser for a network on a device, whose steps may be repeated."""
    parameters = list(network.parameters())
    return torch.optim.Adam(
        parameters,
        lr=learning_rate,
        fused=True,
        capturable=can_record(parameters[0].device),
    )


def _stream(device: torch.device) -> torch.cuda.Stream:
    streams = vars(_of_thread)
    if str(device) not in streams:
        streams[str(device)] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream: torch.cuda.Stream = streams[str(device)]
    return stream


@contextmanager
def _beside(stream: torch.cuda.Stream) -> Iterator[None]:
    """Work in another stream, the one in which it is going to be recorded."""
    main = torch.cuda.current_stream(stream.device)
    stream.wait_stream(main)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        main.wait_stream(stream)


@contextmanager
def _same_stream_after(device: torch.device) -> Iterator[None]:
    """Come back to the stream of now, even if recording fails."""
    main = torch.cuda.current_stream(device)
    try:
        yield
    finally:
        torch.cuda.set_stream(main)
