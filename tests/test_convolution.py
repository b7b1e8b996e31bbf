import pytest
import torch

from napari_mpi.engine.convolution import convolve, gradients_in_bfloat16

CASES = {"plain": (1, False), "strided": (2, False), "transposed": (2, True)}


def inputs():
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 4, 12, 10), (4, 4, 3, 3), (4,)
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    return [tensor.requires_grad_() for tensor in drawn]


def gradients(stride: int, transposed: bool, rough: bool):
    tensors = inputs()
    with gradients_in_bfloat16(rough):
        result = convolve(*tensors, stride, transposed=transposed)
    (result.sin().sum()).backward()
    return result.detach(), [tensor.grad for tensor in tensors]


@pytest.mark.parametrize("case", CASES)
def test_rough_gradients_leave_the_result_alone_and_are_close(case):
    exact, exact_gradients = gradients(*CASES[case], rough=False)
    rough, rough_gradients = gradients(*CASES[case], rough=True)
    assert torch.equal(exact, rough)
    for expected, found in zip(exact_gradients, rough_gradients, strict=True):
        assert found.dtype == torch.float32
        difference = (found - expected).norm() / expected.norm()
        assert 0 < difference < 0.01


def test_only_what_asks_for_a_gradient_gets_one():
    x, weight, bias = inputs()
    x.requires_grad_(False)
    with gradients_in_bfloat16(True):
        convolve(x, weight, bias).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_a_bias_is_not_needed():
    x, weight, _ = inputs()
    with gradients_in_bfloat16(True):
        convolve(x, weight).square().sum().backward()
    assert x.grad is not None


def test_gradients_are_exact_again_outside():
    with gradients_in_bfloat16(True):
        pass
    x, weight, bias = inputs()
    result = convolve(x, weight, bias)
    assert "RoughlyDerived" not in type(result.grad_fn).__name__
