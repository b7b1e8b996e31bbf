import weakref

import numpy as np
import pytest
import torch

from napari_mpi import denoise
from napari_mpi.engine import memory
from napari_mpi.engine.passes import Passes
from napari_mpi.pipeline import photometry
from napari_mpi.pipeline.resources import Resources


def run_out_of_memory(monkeypatch, where, times, error):
    """Let a function fail a few times before it works."""
    real, left = getattr(*where), [times]

    def failing(*args, **kwargs):
        if left[0]:
            left[0] -= 1
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(*where, failing)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_plane_that_does_not_fit_is_filled_in_smaller_tiles(
    noisy, monkeypatch, error
):
    run_out_of_memory(monkeypatch, (Passes, "_fill_tile"), 2, error)
    with pytest.warns(UserWarning, match="Memory ran out: .* in tiles of") as caught:
        result = denoise(noisy, n_iter=1, n_passes=2)
    assert len(caught) == 2
    assert result.report["complete"]
    assert [m[-11:] for m in result.report["fallbacks"]] == [
        "384 pixels.",
        "192 pixels.",
    ]


def test_what_a_later_channel_had_to_do_is_told(noisy, monkeypatch):
    fill_tile, count = Passes._fill_tile, iter(range(99))

    def fails_late(*args):
        if next(count) == 2:  # in the second channel
            raise MemoryError
        return fill_tile(*args)

    monkeypatch.setattr(Passes, "_fill_tile", fails_late)
    settings = {"n_iter": 0, "n_passes": 2, "noise": "independent"}
    with pytest.warns(UserWarning, match="Memory ran out"):
        result = denoise(np.stack([noisy, noisy]), channel_axis=0, **settings)
    first, second = result.report["channels"]
    assert first["fallbacks"] == []
    assert result.report["fallbacks"] == second["fallbacks"] != []


def test_a_plane_is_left_to_itself_where_joining_it_takes_too_much(noisy, monkeypatch):
    run_out_of_memory(monkeypatch, (photometry, "join"), 2, MemoryError())
    stack, settings = np.stack([noisy] * 3), {"n_iter": 0, "n_passes": 2}
    with pytest.warns(UserWarning, match="planes that are not joined"):
        result = denoise(stack, noise="independent", **settings)
    alone = denoise(stack, noise="independent", neighbours=0, **settings)
    assert result.report["complete"]
    assert len(result.report["fallbacks"]) == 1
    assert np.array_equal(result.image[:2], alone.image[:2])
    assert not np.array_equal(result.image[2], alone.image[2])


def test_tiles_that_little_memory_makes_smaller_are_told_of(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 200 * 2**20)
    small, large = (Resources(torch.device("cpu"), (64, side)) for side in (64, 600))
    small.fit_tiles()
    assert small.fallbacks == []  # they are taken whole as ever
    with pytest.warns(UserWarning, match="Little memory is free: .* tiles of 192"):
        large.fit_tiles()
    assert large.fallbacks


def test_a_plane_that_is_three_images_needs_three_times_the_memory(monkeypatch):
    free = 2 * memory.training_bytes(64**2)
    monkeypatch.setattr(memory, "available_bytes", lambda device: free)
    Resources(torch.device("cpu"), (64, 64)).require_whole_planes()
    in_colour = Resources(torch.device("cpu"), (64, 64, 3), 3)
    with pytest.raises(MemoryError, match="whole planes of 64x64 pixels takes"):
        in_colour.require_whole_planes()


def test_planes_that_go_to_the_processor_have_to_fit_there(monkeypatch):
    resources = Resources(torch.device("meta"), (64, 64))
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**20)

    def begin():
        yield 1
        raise torch.OutOfMemoryError("full")

    with pytest.raises(MemoryError, match="whole planes of 64x64 pixels takes"):
        list(resources.until_it_fits(begin, whole_planes=True))


def test_filters_that_a_card_has_no_memory_for_stay_on_the_processor_and_it_is_told():
    tried = []

    def work(device):
        tried.append(device.type)
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 7

    resources = Resources(torch.device("meta"), (64, 64))
    with pytest.warns(UserWarning, match="filters on the processor") as caught:
        assert [resources.filtered(work) for _ in range(2)] == [7, 7]
    assert tried == ["meta", "cpu", "cpu"]
    assert len(caught) == len(resources.fallbacks) == 1
    assert resources.device.type == "meta"  # passes go on there


def test_memory_that_is_out_for_good_is_said_in_plain_words(noisy, monkeypatch):
    run_out_of_memory(monkeypatch, (Passes, "_fill_tile"), 99, MemoryError())
    with (
        pytest.warns(UserWarning, match="Memory ran out"),
        pytest.raises(MemoryError, match=r"too little free memory.*smaller region"),
    ):
        denoise(noisy, n_iter=1, n_passes=2)


def test_another_failure_is_not_taken_for_lack_of_memory(noisy, monkeypatch):
    run_out_of_memory(monkeypatch, (Passes, "_fill_tile"), 9, RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        denoise(noisy, n_iter=1, n_passes=2)


def test_whole_planes_that_cannot_fit_are_refused_before_the_first_step(
    noisy, monkeypatch
):
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1000)
    with pytest.raises(MemoryError, match=r"40x48 pixels.*preset auto or fast"):
        denoise(noisy, preset="paper-fast")


def test_a_run_that_carries_on_stays_on_the_card_that_was_asked_for():
    resources = Resources(torch.device("cuda:0"), (64, 64))
    kept = {"tile_size": 384, "fallbacks": []}
    resources.restore(kept | {"device": "cuda:3"})
    assert (resources.device, resources.tile_size) == (torch.device("cuda:0"), 384)
    resources.restore(kept | {"device": "cpu"})
    assert resources.device == torch.device("cpu")


def test_what_memory_ran_out_in_is_gone_before_the_work_begins_anew():
    class Large:
        pass

    begun = []

    def begin():
        large = Large()
        assert all(earlier() is None for earlier in begun)
        begun.append(weakref.ref(large))
        if len(begun) == 1:
            raise MemoryError
        yield large

    resources = Resources(torch.device("cpu"), (64, 64))
    with pytest.warns(UserWarning, match="in tiles of"):
        list(resources.until_it_fits(begin, in_tiles=True))
    assert len(begun) == 2
