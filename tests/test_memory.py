import pytest
import torch

from napari_mpi.engine import memory

CPU = torch.device("cpu")


def test_tiles_are_made_small_enough_for_the_free_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda _: 10**12)
    assert memory.fitting_tile_size(768, CPU) == 768
    monkeypatch.setattr(memory, "available_bytes", lambda _: 400 * 2**20)
    size = memory.fitting_tile_size(768, CPU)
    assert memory.pass_bytes(size**2) < 400 * 2**20 < memory.pass_bytes((2 * size) ** 2)
    assert memory.fitting_tile_size(768, CPU, n_images=3) < size
    monkeypatch.setattr(memory, "available_bytes", lambda _: 0)
    smallest = memory.fitting_tile_size(768, CPU)
    assert memory.smaller_tile_size(smallest) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (
            RuntimeError(
                "GET was unable to find an engine to execute this computation"
            ),
            True,
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_lack_of_memory_is_told_from_other_failures(error, expected):
    assert memory.is_out_of_memory(error) is expected


def test_there_is_some_memory_and_keeping_it_can_be_ended():
    assert memory.available_bytes(CPU) > 10**6
    memory.keep_warm()
    memory.give_back(CPU)


def test_what_a_graphics_card_has_no_memory_for_is_done_on_the_processor():
    tried = []

    def work(device):
        tried.append(device.type)
        if device.type != "cpu":
            raise torch.OutOfMemoryError("out of memory")
        return 7

    assert memory.or_on_processor(work, torch.device("meta")) == 7
    assert tried == ["meta", "cpu"]


@pytest.mark.parametrize(
    ("device", "error"),
    [("cpu", ValueError("another one")), ("meta", RuntimeError("another one"))],
)
def test_other_failures_are_not_tried_again(device, error):
    def work(device):
        raise error

    with pytest.raises(type(error), match=str(error)):
        memory.or_on_processor(work, torch.device(device))


@pytest.mark.parametrize(
    "error",
    [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()],
)
def test_a_full_memory_of_the_processor_is_said_in_plain_words(error):
    def work(device):
        raise error

    for device in ("cpu", "meta"):
        with pytest.raises(MemoryError, match="Close other programs"):
            memory.or_on_processor(work, torch.device(device))
