import numpy as np
import torch

from models.stylization.perceptual import LiteFeatures, LossWeights, PerceptualLoss, gram_matrix, total_variation
from models.stylization.stained_glass import stained_glass


def test_gram_matrix_is_that_of_numpy() -> None:
    features = torch.rand(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = np.einsum("nchw,ndhw->ncd", features.numpy(), features.numpy()) / 12
    np.testing.assert_allclose(gram_matrix(features).numpy(), expected, rtol=1e-5)


def test_total_variation_is_that_of_numpy() -> None:
    images = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    pixels = images.numpy()
    expected = (np.diff(pixels, axis=2) ** 2).mean() + (np.diff(pixels, axis=3) ** 2).mean()
    assert abs(float(total_variation(images)) - expected) < 1e-6


def test_total_variation_of_one_pixel_is_zero() -> None:
    assert float(total_variation(torch.ones(1, 3, 1, 1))) == 0


def test_gradient_of_gram_matrix_and_total_variation_is_that_of_finite_differences() -> None:
    features = torch.rand(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gram_matrix, (features,))
    assert torch.autograd.gradcheck(total_variation, (features,))


def test_style_has_no_style_loss_and_photo_no_content_loss() -> None:
    style = torch.from_numpy(stained_glass(64)).permute(2, 0, 1)[None].float() / 255
    loss = PerceptualLoss(LiteFeatures(), style, LossWeights())
    losses = loss(style, loss.content_of(style))
    assert float(losses.style) < 1e-6
    assert float(losses.content) < 1e-6


def test_feature_maps_have_the_strides_that_the_network_says() -> None:
    found = LiteFeatures()(torch.rand(1, 3, 64, 32))
    assert [tuple(layer.shape[2:]) for layer in found] == [(32, 16), (32, 16), (16, 8), (8, 4), (4, 2)]


def test_stained_glass_is_the_same_every_time() -> None:
    assert (stained_glass(48) == stained_glass(48)).all()
    assert (stained_glass(48, seed=1) != stained_glass(48)).any()
