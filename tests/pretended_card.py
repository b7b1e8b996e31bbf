"""A device that computes on the processor, but is as strict as a graphics card.

What is on it does not mix with what is not, and NumPy cannot read it. So a run on it
shows whether everything is where it has to be, without a graphics card. Recorded work
is what CUDA makes of it: the same operations, on the same places in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    return_and_correct_aliasing,
)
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

aten = torch.ops.aten


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend("card", _Backend())
CARD = torch.device("card", 0)


class OnCard(torch.Tensor):
    """A tensor that is said to be on the card."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CARD,
        )
        tensor.inner = inner
        return tensor

    def item(self):
        return aten._local_scalar_dense.default(self)

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def numpy(self):
        raise TypeError("a tensor on the card is not NumPy's to read")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class Generator(torch.Generator):
    """A generator that may be on the card."""

    def __new__(cls, device="cpu"):
        on_card = torch.device(device).type == CARD.type
        generator = super().__new__(cls, "cpu")
        generator.place = CARD if on_card else torch.device("cpu")
        return generator

    @property
    def device(self):
        return self.place

    def manual_seed(self, seed):
        super().manual_seed(seed)
        return self


class Graph:
    """Operations that are written down, and done when they are replayed."""

    recording: Graph | None = None

    def __init__(self):
        self._operations: list[tuple[Any, ...]] = []
        self._before: list[tuple[torch.Tensor, torch.Tensor]] = []

    def do(self, func, args, kwargs):
        """Write an operation down; what it changes is undone when all are."""
        if func is aten._local_scalar_dense.default:
            raise RuntimeError("recorded work must not wait for the card")
        given = [*zip(func._schema.arguments, args, strict=False)]
        given += [
            (x, kwargs[x.name])
            for x in func._schema.arguments
            if x.kwarg_only and x.name in kwargs
        ]
        for argument, value in given:
            if argument.alias_info is not None and argument.alias_info.is_write:
                changed = [x for x in _leaves(value) if x is not None]
                self._before += [(x, x.clone()) for x in changed]
        found = func(*args, **kwargs)
        self._operations.append((func, args, kwargs, found))
        return found

    def undo(self):
        """Restore what was there before."""
        for tensor, before in reversed(self._before):
            tensor.copy_(before)
        self._before.clear()

    def replay(self):
        for func, args, kwargs, found in self._operations:
            again = func(*args, **kwargs)
            for old, new in zip(_leaves(found), _leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _Card(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    tensors = [x for x in _leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    on_card = [isinstance(tensor, OnCard) for tensor in tensors]
    device = kwargs.get("device")
    if func is aten.copy_.default:
        to_card = on_card[0]
    elif device is not None:
        to_card = torch.device(device).type == CARD.type
    else:
        to_card = any(on_card)
    moves = func in (aten.copy_.default, aten._to_copy.default)
    if any(on_card) and not moves:
        strangers = [
            tensor
            for tensor, here in zip(tensors, on_card, strict=True)
            if not here and tensor.dim() > 0
        ]
        assert not strangers, f"{func} takes tensors that are not on the card, too"
    inner_args, inner_kwargs = _mapped(_inner, (args, kwargs))
    if device is not None:
        inner_kwargs["device"] = torch.device("cpu")
    recording = Graph.recording if to_card or any(on_card) else None
    if recording is None:
        found = func(*inner_args, **inner_kwargs)
    else:
        found = recording.do(func, inner_args, inner_kwargs)
    if not to_card:
        return found
    out = _mapped(lambda x: OnCard(x) if isinstance(x, torch.Tensor) else x, found)
    return return_and_correct_aliasing(func, args, kwargs, out)


def _mapped(change, value):
    """Return nested tuples, lists and dicts with each leaf changed."""
    if isinstance(value, tuple | list):
        return type(value)(_mapped(change, item) for item in value)
    if isinstance(value, dict):
        return {key: _mapped(change, item) for key, item in value.items()}
    return change(value)


def _leaves(value):
    leaves = []
    _mapped(leaves.append, value)
    return leaves


def _inner(value):
    return value.inner if isinstance(value, OnCard) else value


def _tensor(data, *, device=None, of=torch.tensor, **kwargs):
    made = of(data, **kwargs)
    return made if device is None else made.to(device)


@contextmanager
def _record(graph: Graph, **_) -> Iterator[None]:
    Graph.recording = graph
    try:
        yield
    finally:
        Graph.recording = None
        graph.undo()


class _Stream:
    def __init__(self, device=None):
        self.device = device

    def wait_stream(self, other):
        pass


@contextmanager
def pretended_card(*, records: bool) -> Iterator[torch.device]:
    """Have a card here, called "card"; it records work as CUDA does, or none."""
    cuda = {
        "Stream": _Stream,
        "current_stream": _Stream,
        "set_stream": lambda stream: None,
        "stream": lambda stream: nullcontext(),
        "device": lambda device: nullcontext(),
        "CUDAGraph": Graph,
        "graph": _record,
    }
    repeated = "napari_mpi.engine.repeated"
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        for name, stand_in in cuda.items():
            stack.enter_context(patch.object(torch.cuda, name, stand_in))
        stack.enter_context(patch.object(torch, "Generator", Generator))
        stack.enter_context(patch.object(torch, "tensor", _tensor))
        stack.enter_context(
            patch(
                f"{repeated}.can_record",
                lambda device: records and device.type == CARD.type,
            )
        )
        stack.enter_context(patch(f"{repeated}._failing", set()))
        stack.enter_context(
            patch(
                "napari_mpi.engine.devices.available_devices", lambda: ("card", "cpu")
            )
        )
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(
            torch.__future__.set_overwrite_module_params_on_conversion, overwrites
        )
        stack.enter_context(_Card())
        yield CARD
