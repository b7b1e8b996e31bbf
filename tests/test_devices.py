from contextlib import nullcontext

import pytest
import torch

from napari_mpi.engine.devices import (
    available_devices,
    prefers_bfloat16,
    resolve_device,
)


@pytest.fixture
def two_graphics_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def only_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_cards_that_only_emulate_bfloat16_are_left_with_float32(monkeypatch):
    asked = []

    def supports(including_emulation=True):
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supports)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    assert not prefers_bfloat16(torch.device("cuda:1"))
    assert asked == [False]


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("vectors", [True, False])
def test_processors_that_multiply_bfloat16_get_it(monkeypatch, tiles, vectors):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors)
    assert prefers_bfloat16(torch.device("cpu")) == (tiles or vectors)


def test_a_torch_that_cannot_tell_gets_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not prefers_bfloat16(torch.device("cpu"))


def test_the_cpu_is_always_there_and_last():
    assert available_devices()[-1] == "cpu"
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("cpu:0").type == "cpu"


def test_auto_is_the_first_of_the_available_ones():
    assert resolve_device().type == available_devices()[0]


def test_auto_is_the_cpu_where_there_is_nothing_else(only_cpu):
    assert resolve_device("auto") == torch.device("cpu")


def test_auto_prefers_a_graphics_card(two_graphics_cards):
    assert resolve_device("auto") == torch.device("cuda")


def test_one_of_several_graphics_cards_can_be_chosen(two_graphics_cards):
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="'cuda:2' is not available"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda", "cuda:0", "cpu:1", "cpu:", "CPU"])
def test_an_absent_device_is_refused_with_those_present(only_cpu, name):
    with pytest.raises(ValueError, match="not available here: choose one of auto, cpu"):
        resolve_device(name)
