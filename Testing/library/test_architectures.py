"""Networks by name: shapes, independence of mask, canvas and batch, seeds."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import deepgmm.model
from deepgmm.errors import InputError
from deepgmm.model.architecture import NAMES, SIZED, Architecture
from deepgmm.model.architectures import build
from deepgmm.model.images import Images

MONAIS = [name for name in NAMES if name not in SIZED]


def small(name: str, **sizes: int) -> Architecture:
    return Architecture(name, **{"filters": 12 if name == "swinunetr" else 4, **sizes})


def some_images(slices: int = 2, shape: tuple[int, int] = (64, 64), seed: int = 0) -> Images:
    """Noise inside ellipses that touch no border."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in shape),
                                   indexing="ij")
    inside = torch.stack([(rows**2 + (1 + 0.3 * s) * columns**2 < 0.7).float()[None]
                          for s in range(slices)])
    values = torch.randn((slices, 3, *shape), generator=generator) * inside
    depth = torch.rand((slices, 1, *shape), generator=generator) * 20 * inside
    numbers = torch.ones(slices, 4, 3)
    return Images(values, torch.ones(slices, 3), inside, depth, torch.ones(slices, 4),
                  0 * numbers, numbers, numbers)


def answers(network: nn.Module, images: Images) -> Tensor:
    """Logits inside the mask, 0 outside."""
    with torch.no_grad():
        return network(images.channels(), images.inside) * images.inside


@pytest.fixture(params=NAMES)
def a_network(request: pytest.FixtureRequest) -> nn.Module:
    return build(small(request.param), seed=1)


@pytest.fixture(params=SIZED)
def a_network_of_our_own(request: pytest.FixtureRequest) -> nn.Module:
    return build(small(request.param, levels=2), seed=1)


def test_every_network_takes_any_canvas_once_it_is_enlarged(a_network: nn.Module) -> None:
    images = some_images(shape=(37, 53)).enlarged(a_network.multiple)
    logits = a_network(images.channels(), images.inside)
    assert logits.shape == (2, 4, *images.canvas)
    assert logits.isfinite().all() and logits.std() > 0


def test_the_smallest_canvas_is_enough(a_network: nn.Module) -> None:
    images = some_images(shape=(a_network.multiple, a_network.multiple))
    assert answers(a_network, images).isfinite().all()


def test_what_lies_outside_the_mask_changes_nothing(a_network: nn.Module) -> None:
    images = some_images(shape=(64, 128))
    seen = images.channels()
    noisy = seen + 100 * torch.rand(seen.shape) * (1 - images.inside)
    with torch.no_grad():
        found = a_network(noisy, images.inside) * images.inside
    torch.testing.assert_close(found, answers(a_network, images))


def test_each_slice_is_computed_for_itself(a_network: nn.Module) -> None:
    """In training too: no statistic is one of a batch."""
    images = some_images(slices=3, shape=(64, 64))
    together = answers(a_network.train(), images)
    alone = [answers(a_network, images.select(slice(s, s + 1))) for s in range(3)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answers(a_network.eval(), images), together)


def test_the_canvas_changes_nothing_in_our_own_networks(a_network_of_our_own: nn.Module) -> None:
    """Not its size, nor where on it a slice lies, also where the mask touches the border."""
    network, images = a_network_of_our_own.double(), some_images(shape=(24, 32)).to(torch.float64)
    images.inside[:] = 1
    images.inside[:, :, 5:9, 3:6] = 0
    channels = images.channels()
    with torch.no_grad():
        found = network(channels, images.inside)
        larger = network(F.pad(channels, (8, 16, 16, 4)), F.pad(images.inside, (8, 16, 16, 4)))
    inside = images.inside
    torch.testing.assert_close(larger[:, :, 16:40, 8:40] * inside, found * inside)


def test_monais_networks_do_see_the_canvas() -> None:
    """As their file says; were it not so, it should say so."""
    network, images = build(small("unet++"), seed=1), some_images(shape=(32, 32))
    larger = answers(network, images.enlarged(64))[:, :, :32, :32]
    assert (larger - answers(network, images)).abs().max() > 1e-3


def test_a_seed_gives_the_same_weights_and_another_seed_others(a_network: nn.Module,
                                                               request) -> None:
    name = request.node.callspec.params["a_network"]
    again, other = (build(small(name), seed=seed) for seed in (1, 2))
    own = dict(a_network.named_parameters())
    assert all(torch.equal(own[key], value) for key, value in again.named_parameters())
    assert any(not torch.equal(own[key], value) for key, value in other.named_parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_callers_random_numbers_stay_as_they_are(name: str) -> None:
    def states() -> tuple:
        numpys = np.random.get_state()[1].tolist()  # noqa: NPY002
        return torch.get_rng_state().tolist(), random.getstate(), numpys
    before = states()
    build(small(name), seed=5)
    assert states() == before


def test_every_weight_learns(a_network: nn.Module) -> None:
    """An unused one would stop a training over several processes."""
    images = some_images(shape=(64, 64))
    a_network(images.channels(), images.inside).square().mean().backward()
    assert [key for key, value in a_network.named_parameters()
            if value.grad is None or not value.grad.isfinite().all()] == []


def test_the_unet_is_the_papers_in_torchs_own_words() -> None:
    """Where all is mask, and interpolation sees zeros beyond the canvas."""
    network = build(Architecture(filters=4, levels=2, convolutions=1), seed=3)
    weights = {key: value.detach() for key, value in network.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    for key, value in weights.items():  # scales and shifts that do something
        if "norms" in key:
            value += 0.3 * torch.randn(value.shape, generator=generator)
    x = torch.randn((2, Architecture().inputs, 16, 24), generator=generator)

    def stage(x: Tensor, name: str) -> Tensor:
        x = F.conv2d(x, weights[f"{name}.convs.0.weight"], padding=1)
        x = F.instance_norm(x, weight=weights[f"{name}.norms.0.scale"].flatten(),
                            bias=weights[f"{name}.norms.0.shift"].flatten(), eps=1e-5)
        return F.leaky_relu(x, 0.01)

    def up(x: Tensor) -> Tensor:
        wide = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
        return wide[:, :, 2:-2, 2:-2]

    top = stage(x, "down.0")
    middle = stage(F.max_pool2d(top, 2), "down.1")
    bottom = stage(F.max_pool2d(middle, 2), "down.2")
    middle = stage(torch.cat([middle, up(bottom)], 1), "up.1")
    top = stage(torch.cat([top, up(middle)], 1), "up.0")
    expected = F.conv2d(top, weights["head.weight"], weights["head.bias"])
    with torch.no_grad():
        found = network(x, torch.ones(2, 1, 16, 24))
    torch.testing.assert_close(found, expected)


def convolutions(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_channels, m.out_channels) for m in module.modules()
            if isinstance(m, nn.Conv2d)]


def test_the_modified_unet_is_built_as_published() -> None:
    """Two plain stages and two scale blocks down, two and two up; fewer convolutions on deeper
    connections (gmm-loss-brain-paper, 3.3 and figure 3)."""
    network = build(Architecture("modified-unet", filters=4, levels=4))
    assert convolutions(network.down) == [
        (8, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 16), (16, 32), (32, 32),
        (32, 32), (32, 64), (64, 64)]
    assert convolutions(network.up) == [
        (12, 4), (4, 4), (24, 8), (8, 8), (48, 16), (16, 16), (16, 16), (96, 32), (32, 32),
        (32, 32)]
    assert [len(convolutions(skip)) for skip in network.skips] == [4, 3, 2, 1]


def test_the_number_of_weights_is_that_of_the_convolutions_and_their_norms() -> None:
    """By hand, of the default: nine weights for each pair of channels, scale and shift for each
    channel out, a 1x1 convolution with bias at the end."""
    pairs = [(8, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128),
             (192, 64), (64, 64), (96, 32), (32, 32), (48, 16), (16, 16)]
    expected = sum(9 * a * b + 2 * b for a, b in pairs) + 16 * 4 + 4
    assert sum(p.numel() for p in build(Architecture()).parameters()) == expected == 488_772


def test_the_usual_inputs_are_the_channels_of_images() -> None:
    assert Architecture().inputs == some_images().channels().shape[1]


@pytest.mark.parametrize("name", NAMES)
def test_an_architecture_comes_back_from_plain_values(name: str) -> None:
    given = small(name, levels=2)
    assert Architecture.from_dict(given.as_dict()) == given


@pytest.mark.parametrize(("wrong", "said"), [
    ({"name": "u-net"}, "no network is called 'u-net'.*unet, modified-unet"),
    ({"filters": 0}, "filters of a network is 0"),
    ({"filters": 10**9}, "from 1 to 256"),
    ({"levels": 2.5}, "levels of a network is 2.5"),
    ({"convolutions": True}, "convolutions of a network is True"),
    ({"inputs": "8"}, "inputs of a network is '8'"),
    ({"name": "swinunetr", "filters": 16}, "a multiple of 12"),
])
def test_a_network_that_cannot_be_is_refused(wrong: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Architecture(**wrong)


@pytest.mark.parametrize("change", [{"depth": 3}, {"filters": None}])
def test_what_is_missing_or_not_known_is_refused(change: dict) -> None:
    values = Architecture().as_dict() | change
    if change.get("filters", 0) is None:
        del values["filters"]
    with pytest.raises(InputError, match="an architecture has convolutions, filters"):
        Architecture.from_dict(values)


@pytest.mark.parametrize("name", MONAIS)
def test_without_monai_one_is_told_what_to_install(name: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    monkeypatch.delitem(sys.modules, "deepgmm.model.monai_networks", raising=False)
    monkeypatch.delattr(deepgmm.model, "monai_networks", raising=False)
    with pytest.raises(InputError, match=r"needs MONAI: .*pip install 'monai"):
        build(small(name))


def test_unetr_says_what_canvas_it_takes() -> None:
    with pytest.raises(InputError, match="at most 256 rows"):
        build(small("unetr"))(torch.zeros(1, Architecture().inputs, 272, 32),
                              torch.ones(1, 1, 272, 32))


def test_names_need_no_torch_and_our_own_networks_no_monai() -> None:
    code = ("import sys; from deepgmm.model.architectures import Architecture, build; "
            "a = Architecture(); assert 'torch' not in sys.modules; build(a); "
            "assert 'torch' in sys.modules and 'monai' not in sys.modules; print('fine')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr
