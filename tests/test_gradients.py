from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from napari_mpi.engine.masking import masked_mse
from napari_mpi.engine.network import Hourglass
from napari_mpi.training.gradients import Gradients


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Hourglass(1, 1).train()


@pytest.fixture
def batch():
    """Three crops: as they are seen, as they are, and masks."""
    generator = torch.Generator().manual_seed(1)
    noisy, target, noise = torch.rand(3, 3, 1, 64, 64, generator=generator)
    return noisy, target, (noise > 0.5).float()


@pytest.fixture
def gradients(network):
    gradients = Gradients(network, bfloat16=False)
    yield gradients
    gradients.close()


def of(network) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in network.parameters()]


def test_the_gradient_of_a_batch_is_the_mean_over_its_crops(network, batch, gradients):
    loss = gradients.backward(*batch)
    whole = of(network)
    single_losses, single = [], []
    for crop in range(3):
        noisy, target, mask = (images[crop : crop + 1] for images in batch)
        error = masked_mse(network(noisy * mask, mask), target, mask)
        network.zero_grad()
        error.backward()
        single_losses.append(float(error.detach()))
        single.append(of(network))
    assert loss == pytest.approx(sum(single_losses) / 3, rel=1e-5)
    for gradient, parts in zip(whole, zip(*single, strict=True), strict=True):
        mean = torch.stack(parts).mean(dim=0)
        torch.testing.assert_close(gradient, mean, atol=1e-5, rtol=1e-3)


def test_batch_norm_keeps_no_statistics_of_what_was_trained_on(
    network, batch, gradients
):
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    gradients.backward(*batch)
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name])


def test_a_pass_that_fails_ends_with_its_error(network, batch, monkeypatch):
    gradients = Gradients(network, bfloat16=False)
    noisy, target, _ = batch
    for _ in range(2):  # a network that was not given back would be waited for
        with pytest.raises(RuntimeError):
            gradients.backward(noisy, target, torch.ones(3, 2, 1, 1))
    gradients.close()


def test_the_threads_of_torch_are_given_back(network, batch):
    def of_another_thread() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    gradients = Gradients(network, bfloat16=False)
    assert of_another_thread() == 2  # a denoising beside the training has them all
    assert gradients._pool.submit(torch.get_num_threads).result() == 1
    gradients.backward(*batch)
    gradients.close()
    assert torch.get_num_threads() == of_another_thread() == 2
    torch.set_num_threads(before)
