"""Nodes under transforms: linear ones enter the geometry, moved slices lie where they are."""

from __future__ import annotations

import numpy as np
import pytest
from scene_nodes import KINDS, MOVED, STRAIGHT, UNEVEN, moving_slices, volumes
from scenes import HERE, Scene, a_result_of, scene_ids
from test_seg_nrrd_in_slicer import turned

from deepgmm.errors import InputError
from deepgmm.reading.images.grids import image_of
from deepgmm.scene.inputs import study_from_nodes
from deepgmm.scene.outputs import write_result
from deepgmm.scene.segments import our_segments
from deepgmm.study.study import Geometry, Study
from deepgmm.study.words import Role


def test_a_linear_transform_enters_the_geometry_and_the_scene_stays(a_scene, a_heart) -> None:
    nodes = volumes(a_scene, a_heart)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)
    upper, lower = a_scene.linear(MOVED), a_scene.linear(MOVED)
    lower.SetAndObserveTransformNodeID(upper.GetID())
    for node in (*nodes.values(), mask):
        node.SetAndObserveTransformNodeID(lower.GetID())
    before, modified = scene_ids(a_scene), [n.GetMTime() for n in nodes.values()]

    study = study_from_nodes(**nodes, mask=mask, kinds=KINDS)

    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    expected = to_ras @ MOVED @ MOVED @ to_ras @ HERE.index_to_world()
    np.testing.assert_allclose(study.geometry.index_to_world(), expected, atol=1e-9)
    np.testing.assert_array_equal(study.mask, a_heart.mask)
    assert scene_ids(a_scene) == before
    assert [n.GetMTime() for n in nodes.values()] == modified
    assert all(n.GetTransformNodeID() == lower.GetID() for n in nodes.values())


def test_a_volume_under_a_transform_of_its_own_is_resampled_as_simpleitk_does(
    a_scene, a_heart
) -> None:
    sitk = pytest.importorskip("SimpleITK")
    shift = np.eye(4)
    shift[:3, :3] = np.reshape(turned((0.05, 0.0, 0.1), False), (3, 3))
    shift[:3, 3] = (1.5, -0.7, 2.0)
    values = a_heart.sequences[Role.T2].values
    thin = Geometry((1.3, 1.1, 3.0), HERE.origin, HERE.direction)
    t2 = a_scene.volume(np.repeat(values, 3, axis=0), thin)
    t2.SetAndObserveTransformNodeID(a_scene.linear(shift).GetID())
    lge = a_scene.volume(a_heart.sequences[Role.LGE].values, HERE)

    study = study_from_nodes(lge=lge, t2=t2, kinds=KINDS,
                             mask=a_scene.segmentation(HERE, LV=a_heart.mask))

    to_ras = np.diag([-1.0, -1.0, 1.0])
    back = sitk.AffineTransform(3)
    turn = to_ras @ shift[:3, :3] @ to_ras
    back.SetMatrix(turn.ravel())
    back.SetTranslation(to_ras @ shift[:3, 3])
    expected = sitk.GetArrayFromImage(sitk.Resample(
        sitk.Cast(image_of(np.repeat(values, 3, axis=0), thin), sitk.sitkFloat32),
        image_of(a_heart.sequences[Role.LGE].values, HERE), back.GetInverse(),
        sitk.sitkLinear, -1.0))
    seen = a_heart.mask & (expected != -1)
    assert seen.sum() > 100
    np.testing.assert_allclose(study.sequences[Role.T2].values[seen], expected[seen],
                               rtol=1e-3, atol=1e-3)
    assert any("T2 was resampled onto the LGE grid" in w for w in study.warnings)


def sheared(scene: Scene):
    matrix = np.eye(4)
    matrix[0, 1] = 0.2
    return scene.linear(matrix)


def test_a_transform_that_shears_is_refused(a_scene, a_heart) -> None:
    nodes = volumes(a_scene, a_heart)
    nodes["lge"].SetAndObserveTransformNodeID(sheared(a_scene).GetID())

    with pytest.raises(InputError, match="LGE's axes are not at right angles"):
        study_from_nodes(**nodes, mask=a_scene.segmentation(HERE, LV=a_heart.mask), kinds=KINDS)


@pytest.fixture
def a_straight_heart() -> Study:
    return a_result_of(slices=4, geometry=STRAIGHT).study


def test_slices_moved_by_slicers_reader_are_matched_by_their_true_positions(
    a_scene, a_straight_heart
) -> None:
    heart = a_straight_heart
    lge = a_scene.volume(heart.sequences[Role.LGE].values, STRAIGHT)
    transform = moving_slices(a_scene, UNEVEN)
    lge.SetAndObserveTransformNodeID(transform.GetID())
    mask = a_scene.segmentation(STRAIGHT, LV=heart.mask)
    mask.SetAndObserveTransformNodeID(transform.GetID())
    stack = np.arange(12)[:, None, None] * 100.0 + np.zeros((12, 40, 52))
    stack += np.random.default_rng(1).normal(0, 3, stack.shape)
    t2 = a_scene.volume(stack, Geometry((1.2, 1.2, 4.0), (0.0, 0.0, 1.0)))

    study = study_from_nodes(lge=lge, t2=t2, mask=mask, kinds=KINDS)

    np.testing.assert_array_equal(study.mask, heart.mask)  # under the same transform
    nearest = np.rint([np.median(one) / 100 for one in study.sequences[Role.T2].values])
    assert nearest.tolist() == [0, 1, 6, 10]  # at 1, 5, 25 and 41 mm
    assert study.geometry.spacing[2] == pytest.approx(14.0, abs=1e-2)
    assert any("unevenly spaced (4.0 to 22.0 mm)" in w for w in study.warnings)


def test_what_lies_under_lges_own_transform_is_not_moved_against_it(
    a_scene, a_straight_heart
) -> None:
    transform = moving_slices(a_scene, UNEVEN)
    nodes = volumes(a_scene, a_straight_heart)
    for node in nodes.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    mask = a_scene.segmentation(STRAIGHT, LV=a_straight_heart.mask)
    mask.SetAndObserveTransformNodeID(transform.GetID())

    study = study_from_nodes(**nodes, mask=mask, kinds=KINDS)

    for role, sequence in study.sequences.items():
        np.testing.assert_array_equal(
            sequence.values, a_straight_heart.sequences[role].values.astype(np.float32))


def test_a_result_on_moved_slices_comes_back_on_them(a_scene) -> None:
    result = a_result_of(slices=4, geometry=STRAIGHT)
    lge = a_scene.volume(result.study.sequences[Role.LGE].values, STRAIGHT)
    lge.SetAndObserveTransformNodeID(moving_slices(a_scene, UNEVEN).GetID())

    node = write_result(result, a_scene.mrml, reference=lge).segmentation
    again = study_from_nodes(lge=lge, mask=node, segments=list(our_segments(node).values()),
                             kinds=KINDS)

    np.testing.assert_array_equal(again.mask, result.labels > 0)


def test_a_mask_drawn_in_the_patient_meets_moved_slices_where_they_are(
    a_scene, a_straight_heart
) -> None:
    heart = a_straight_heart
    lge = a_scene.volume(heart.sequences[Role.LGE].values, STRAIGHT)
    lge.SetAndObserveTransformNodeID(moving_slices(a_scene, UNEVEN).GetID())
    fine = Geometry((1.2, 1.2, 1.0), (0.0, 0.0, -4.0))
    drawn = np.zeros((50, 40, 52), bool)
    for k, middle in enumerate(UNEVEN):  # 3 mm thick about each true position
        drawn[int(middle) + 3:int(middle) + 6] = heart.mask[k]

    study = study_from_nodes(lge=lge, mask=a_scene.segmentation(fine, LV=drawn), kinds=KINDS)

    np.testing.assert_array_equal(study.mask, heart.mask)


@pytest.mark.parametrize("how", [{"bend": 60.0}, {"aside": 1.0}], ids=["bent", "aside"])
def test_a_transform_that_does_more_is_refused_with_what_to_do(
    a_scene, a_straight_heart, how
) -> None:
    lge = a_scene.volume(a_straight_heart.sequences[Role.LGE].values, STRAIGHT)
    bending = moving_slices(a_scene, UNEVEN, **how)
    lge.SetAndObserveTransformNodeID(bending.GetID())

    with pytest.raises(InputError, match="LGE is under a non-linear transform.*harden"):
        study_from_nodes(lge=lge, kinds=KINDS,
                         mask=a_scene.segmentation(STRAIGHT, LV=a_straight_heart.mask))
