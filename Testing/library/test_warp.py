"""Exponentials of velocity fields against closed forms, finite differences and MONAI."""

import pytest

torch = pytest.importorskip("torch")
from scipy import ndimage  # noqa: E402

from deepgmm.model.warp import (  # noqa: E402
    displacement,
    folded,
    jacobian,
    roughness,
    warped,
)


def smooth_velocity(shape, smoothing, amplitude, seed):
    """(1, D, *shape) of largest length `amplitude`, noise smoothed by `smoothing` voxels."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((len(shape), *shape), generator=generator, dtype=torch.float64)
    smoothed = [ndimage.gaussian_filter(n.numpy(), smoothing, mode="nearest") for n in noise]
    v = torch.stack([torch.from_numpy(s) for s in smoothed])[None]
    return v * (amplitude / v.square().sum(1).sqrt().max())


def inner(field, margin=6):
    return field[(slice(None), slice(None), *[slice(margin, -margin)] * (field.ndim - 2))]


@pytest.mark.parametrize("shape", [(12, 15), (9, 12, 11)])
def test_a_constant_velocity_is_its_displacement_up_to_the_border(shape):
    constant = torch.arange(1.0, len(shape) + 1).view(1, -1, *[1] * len(shape)) * 0.7
    v = constant.expand(1, len(shape), *shape).contiguous()
    assert torch.allclose(displacement(v), v, atol=1e-5, rtol=0)


def test_a_linear_velocity_stretches_exponentially():
    x = torch.arange(33, dtype=torch.float64) - 16
    v = torch.zeros(1, 2, 33, 33, dtype=torch.float64)
    v[0, 0] = 0.1 * x[:, None]
    u = displacement(v, 7)
    expected = (torch.exp(torch.tensor(0.1, dtype=torch.float64)) - 1) * x[:, None].expand(33, 33)
    assert (inner(u)[0, 0] - inner(expected[None, None])[0, 0]).abs().max() < 1e-3
    assert inner(u)[0, 1].abs().max() < 1e-12
    determinant = inner(jacobian(u)[:, None])
    assert torch.allclose(determinant, torch.full_like(determinant, 1.10517), atol=1e-4)


@pytest.mark.parametrize("smoothing, tolerance", [(8, 0.01), (4, 0.03)])
@pytest.mark.parametrize("shape", [(96, 96), (48, 48, 48)])
def test_the_exponential_of_minus_v_is_the_inverse(shape, smoothing, tolerance):
    v = smooth_velocity(shape, smoothing, 4.0, 3)
    there, back = displacement(v), displacement(-v)
    for first, second in ((there, back), (back, there)):
        assert inner(second + warped(first, second)).abs().max() < tolerance


@pytest.mark.parametrize("seed", range(3))
def test_of_a_rough_velocity_in_a_volume_too(seed):
    # in a plane the largest error of such fields is .08 to .22, linear interpolation's
    v = smooth_velocity((48, 48, 48), 2, 4.0, seed)
    there, back = displacement(v), displacement(-v)
    assert inner(there + warped(back, there)).abs().max() < 0.075


@pytest.mark.parametrize("seed", range(3))
def test_a_smooth_velocity_keeps_its_jacobian_and_a_rough_displacement_is_found_to_fold(seed):
    u = displacement(smooth_velocity((96, 96), 8, 4.0, seed))
    assert jacobian(u).min() > 0.7
    assert folded(u) == 0
    v = smooth_velocity((48, 48, 48), 8, 4.0, seed)
    u = displacement(v)
    assert jacobian(u).min() > 0.68 and folded(u) == 0  # .69 to .76
    rough = smooth_velocity((96, 96), 1, 4.0, seed)
    assert folded(rough) > 0.01
    outside = torch.zeros(1, 96, 96, dtype=torch.bool)
    outside[0, :2, :2] = True
    assert folded(rough, jacobian(rough) > 0) == 0


@pytest.mark.parametrize("shape", [(24, 31), (13, 17, 12)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_it_equals_monai_with_border_padding(shape, kind):
    blocks = pytest.importorskip("monai.networks.blocks")
    v = smooth_velocity(shape, 2, 3.0, 5).to(kind)
    theirs = blocks.DVF2DDF(num_steps=7, mode="bilinear", padding_mode="border")(v)
    assert torch.allclose(displacement(v), theirs, atol=1e-6, rtol=0)
    image = torch.rand((1, 2, *shape), dtype=kind)
    wrapped = blocks.Warp(mode="bilinear", padding_mode="border")(image, theirs)
    assert torch.allclose(warped(image, theirs), wrapped, atol=1e-6, rtol=0)


def test_component_d_moves_along_axis_d():
    image = torch.rand(1, 1, 6, 7, 8, dtype=torch.float64)
    for axis in range(3):
        u = torch.zeros(1, 3, 6, 7, 8, dtype=torch.float64)
        u[:, axis] = 1
        moved = torch.roll(image, -1, axis + 2)
        keep = [slice(None)] * 5
        keep[axis + 2] = slice(0, -1)
        assert torch.allclose(warped(image, u)[tuple(keep)], moved[tuple(keep)], atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 3)])
def test_gradients_are_those_of_finite_differences(shape):
    v = smooth_velocity(shape, 1, 0.4, 2) + 0.05
    image = torch.rand((1, 2, *shape), dtype=torch.float64,
                       generator=torch.Generator().manual_seed(4))
    torch.autograd.gradcheck(
        lambda field: warped(image, displacement(field, 2)).square().sum()
        + roughness(displacement(field, 2)).sum() + jacobian(displacement(field, 2)).sum(),
        v.requires_grad_(), eps=1e-7, atol=1e-6, rtol=1e-5)


def test_a_warped_atlas_sums_to_one():
    atlas = torch.rand(1, 4, 20, 22, 18).softmax(1)
    u = displacement(smooth_velocity((20, 22, 18), 3, 5.0, 1)).float()
    assert torch.allclose(warped(atlas, u).sum(1), torch.ones(1, 20, 22, 18), atol=1e-6)


def test_roughness_of_a_stretch_is_its_square():
    u = torch.zeros(2, 2, 9, 11, dtype=torch.float64)
    u[0, 1] = 0.3 * torch.arange(11)
    assert torch.allclose(roughness(u), torch.tensor([0.09, 0.0], dtype=torch.float64))


def test_fields_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="shape"):
        displacement(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="under a field"):
        warped(torch.zeros(1, 1, 8, 9), torch.zeros(1, 2, 8, 8))
