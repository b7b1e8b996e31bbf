import logging

import pytest
import torch

from napari_mpi.engine.repeated import Repeated

pytest.importorskip("pretended_card", exc_type=ImportError)

from pretended_card import Graph, pretended_card

N_CALLS = 20


@pytest.fixture
def replays(monkeypatch):
    """How often recorded work was handed over as a whole."""
    done = []
    replay = Graph.replay
    monkeypatch.setattr(Graph, "replay", lambda self: done.append(self) or replay(self))
    return done


def test_work_is_recorded_after_some_calls_and_goes_on_with_new_values(replays):
    with pretended_card(records=True) as card:
        total = torch.zeros(3, device=card)

        def add(x):
            total.add_(x)
            return (total * 2,)

        work = Repeated(add)
        found = [
            work(torch.full((3,), float(number), device=card))[0].cpu().tolist()
            for number in range(N_CALLS)
        ]
    sums = [number * (number + 1) for number in range(N_CALLS)]
    assert found == [[float(value)] * 3 for value in sums]
    assert 0 < len(replays) < N_CALLS
    assert len(set(replays)) == 1


def test_work_of_each_shape_is_recorded_on_its_own(replays):
    with pretended_card(records=True) as card:
        work = Repeated(lambda x: (x.sum(),))
        for _ in range(N_CALLS):
            for size in (2, 5):
                assert float(work(torch.ones(size, device=card))[0]) == size
    assert len(set(replays)) == 2


def test_work_that_cannot_be_recorded_is_done_as_it_is(replays, caplog):
    def waits(x):
        return (x * float(x.sum()),)

    with pretended_card(records=True) as card, caplog.at_level(logging.WARNING):
        work = Repeated(waits)
        for number in range(N_CALLS):
            x = torch.full((2,), float(number), device=card)
            assert work(x)[0].cpu().tolist() == [2.0 * number**2] * 2
    assert not replays
    assert [one.message for one in caplog.records] == [
        "Going on without recording on card:0: recorded work must not wait for the card"
    ]


def lack_memory():
    raise RuntimeError("CUDA out of memory")


def lack_memory_and_fail_to_end():
    try:
        raise torch.OutOfMemoryError("CUDA out of memory")
    finally:
        raise RuntimeError("operation failed due to an error during capture")


@pytest.mark.parametrize("fail", [lack_memory, lack_memory_and_fail_to_end])
def test_only_work_that_takes_too_much_memory_to_record_goes_on_without(replays, fail):
    def takes_too_much(x):
        if Graph.recording is not None:
            fail()
        return (x,)

    with pretended_card(records=True) as card:
        x = torch.ones(2, device=card)
        large, small = Repeated(takes_too_much), Repeated(lambda x: (x + 1,))
        for _ in range(N_CALLS):
            assert large(x)[0] is x
        assert not replays
        for _ in range(N_CALLS):
            assert float(small(x)[0][0]) == 2
        assert replays


def test_where_recording_fails_no_other_work_is_recorded(replays):
    with pretended_card(records=True) as card:
        x = torch.ones(2, device=card)
        fails, other = Repeated(lambda x: (x * float(x[0]),)), Repeated(lambda x: (x,))
        for _ in range(N_CALLS):
            assert float(fails(x)[0][0]) == 1
            assert other(x)[0] is not None
    assert not replays


def test_nothing_is_recorded_on_the_processor(replays):
    calls = []
    work = Repeated(lambda x: calls.append(x) or (x,))
    x = torch.ones(2)
    assert all(work(x)[0] is x for _ in range(N_CALLS))
    assert len(calls) == N_CALLS
    assert not replays
