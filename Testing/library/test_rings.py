"""Borders as rings: circles known in closed form come back, also from the image alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deepgmm.propose.canonical import Frame
from deepgmm.propose.rings import Ring, along, ring_of, ring_of_mask, rings_of
from deepgmm.review.metrics import dice


def test_rings_of_circles_are_circles():
    y, x = np.mgrid[:80, :80] * 1.0
    away = np.hypot(y - 40.3, x - 38.8) * 2.0
    inside, pool = (1 / (1 + np.exp((away - r) / 0.7)) for r in (32.0, 22.0))
    ring = ring_of(inside, pool, np.array([40.3, 38.8]), 2.0)
    assert np.abs(ring.outer - 32).max() < 0.8
    assert np.abs(ring.inner - 22).max() < 0.8
    drawn = Ring(np.array([60.0, 62.0]), ring.outer, ring.inner).filled((100, 100), (1.3, 1.3))
    back = ring_of_mask(drawn, (1.3, 1.3))
    assert back is not None and np.abs(back.outer - 32).max() < 1.3


SPACING, CENTRE, OUTER, INNER = (1.3, 1.37), np.array([120.37, 131.81]), 33.0, 24.0


def disc(radius, shape=(180, 190), samples=5):
    """(rows, columns) the share of each pixel in a circle whose middle and radius are known,
    in mm."""
    fine = (np.arange(samples) + 0.5) / samples - 0.5
    y, x = (((np.arange(n)[:, None] + fine) * s - at).ravel()
            for n, s, at in zip(shape, SPACING, CENTRE))
    held = (np.hypot(y[:, None], x) < radius).reshape(shape[0], samples, shape[1], samples)
    return held.mean((1, 3)).astype(np.float32)


def away_from_circle(points, radius):
    """(row, column) by which a border lies aside of it, and by how much its radius differs, mm."""
    off = points - CENTRE
    return 2 * ((np.hypot(*off.T) - radius)[:, None] * off / np.hypot(*off.T)[:, None]).mean(0), (
        np.hypot(*off.T).mean() - radius)


def test_no_way_between_the_grids_moves_a_border():
    """Half a pixel lost on the way to the network's pixels, to rays and back would be seen here."""
    asides, larger, moved = [], [], []
    shown = np.stack([disc(OUTER), disc(INNER)])
    for middle in np.random.default_rng(0).uniform(-3, 3, (12, 2)) + CENTRE / SPACING:
        frame = Frame.around(tuple(middle), SPACING)
        shares = frame.sampled(shown)[0]
        start = np.argwhere(shares[0] > 0.5).mean(0)
        found = rings_of(shares[:1], shares[1:], start[None], 2.0)[0]
        ring = replace(found, centre=frame.to_image(found.centre) * np.array(SPACING))
        for inner, radius in ((False, OUTER), (True, INNER)):
            aside, more = away_from_circle(ring.points(inner), radius)
            asides.append(aside)
            larger.append(more)
        mask, true = ring.filled(shown.shape[1:], SPACING), shown[0] > 0.5
        moved.append((np.argwhere(mask).mean(0) - np.argwhere(true).mean(0)) * SPACING)
        assert dice(mask, true) > 0.97
    # of a single one rays half a millimetre apart leave a third of that open
    assert np.abs(asides).max() < 0.35 and np.abs(larger).max() < 0.6
    assert np.abs(np.mean(asides, 0)).max() < 0.15 and np.abs(np.mean(moved, 0)).max() < 0.15


def test_the_image_draws_a_border_that_the_network_leaves_open():
    """The network is unsure by millimetres and wrong by two; the image has the circles."""
    y, x = (np.arange(n) * s - at for n, s, at in zip((180, 190), SPACING, CENTRE))
    far = np.hypot(y[:, None], x)
    inside, pool = (1 / (1 + np.exp((far - r) / 3.0)) for r in (OUTER + 2.0, INNER - 2.0))
    image = 40 - 24 * disc(OUTER) + 90 * disc(INNER)
    frame = Frame.around((91.3, 97.9), SPACING)
    shares = frame.sampled(np.stack([inside, pool]).astype(np.float32))[0]
    start = np.argwhere(shares[0] > 0.5).mean(0)[None]

    def off(shown):
        ring = rings_of(shares[:1], shares[1:], start, 2.0, shown)[0]
        ring = replace(ring, centre=frame.to_image(ring.centre) * np.array(SPACING))
        return [abs(away_from_circle(ring.points(inner), radius)[1])
                for inner, radius in ((False, OUTER), (True, INNER))]
    rays = along(image[None], frame.to_image(start), SPACING)
    plain = off([])
    assert min(plain) > 1.2
    assert max(off([rays])) < 0.6
    # as bright the other way round, and whatever else is shown
    assert max(off([-5 * rays + 7])) < 0.6
    assert max(off([rays, -rays])) < 0.6
    assert np.allclose(off([np.full_like(rays, 3.0)]), plain)
