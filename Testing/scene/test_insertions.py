"""RV insertion points in the scene reach the slices of the study, and bad ones are said."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import HERE, OBLIQUE, TO_RAS, Scene, a_result_of, slicer

from deepgmm.errors import InputError
from deepgmm.scene.inputs import study_from_nodes
from deepgmm.scene.insertions import count_points
from deepgmm.study.study import Geometry, Study
from deepgmm.study.words import Role


@pytest.fixture
def a_scene() -> Scene:
    scene = Scene()
    scene.mrml.RegisterNodeClass(slicer.vtkMRMLMarkupsFiducialNode())
    return scene


def ras(geometry: Geometry, row: float, column: float, index: float) -> np.ndarray:
    return (TO_RAS @ geometry.index_to_world() @ [column, row, index, 1.0])[:3]


def points(scene: Scene, *where: tuple[float, float, float], geometry: Geometry = HERE):
    """A list of points at (slice, row, column)."""
    node = scene.mrml.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Smith^John RV")
    for index, row, column in where:
        node.AddControlPoint(*ras(geometry, row, column, index))
    return node


def beside(heart: Study, index: int) -> list[tuple[float, float, float]]:
    """An anterior and an inferior point on the rim of the mask of a slice; which of the two rows
    is further front depends on the grid."""
    inside = np.argwhere(heart.mask[index])
    row, column = inside.mean(axis=0)
    radius = np.sqrt(len(inside) / np.pi)
    up, down = (ras(HERE, r, column, index) for r in (row - radius, row + radius))
    first, second = (-1, 1) if up[1] > down[1] else (1, -1)
    return [(index, row + first * radius, column), (index, row + second * radius, column)]


def study(scene: Scene, heart: Study, node, geometry: Geometry = HERE, **options) -> Study:
    lge = scene.volume(heart.sequences[Role.LGE].values, geometry)
    mask = scene.segmentation(geometry, LV=heart.mask)
    return study_from_nodes(lge=lge, mask=mask, insertions=node, kinds={Role.LGE: "magnitude"},
                            **options)


def test_one_pair_serves_all_slices(a_scene, a_heart) -> None:
    pair = beside(a_heart, 1)
    found = study(a_scene, a_heart, points(a_scene, *pair))
    assert found.insertion_points is not None
    wanted = np.array([place[1:] for place in pair])
    np.testing.assert_allclose(found.insertion_points, [wanted] * len(a_heart.mask), atol=1e-6)
    assert not [w for w in found.warnings if "insertion" in w]


def test_between_pairs_they_are_interpolated_and_beyond_repeated(a_scene) -> None:
    heart = a_result_of(geometry=HERE).study
    heart.mask = np.repeat(heart.mask[1:2], 5, axis=0)
    for sequence in heart.sequences.values():
        sequence.values = np.repeat(sequence.values[1:2], 5, axis=0)
    (_, row, column), (_, other, _) = beside(heart, 1)
    node = points(a_scene, (3, row, column + 4), (3, other, column + 4),
                  (1, row, column), (1, other, column))
    found = study(a_scene, heart, node)
    assert found.insertion_points is not None
    np.testing.assert_allclose(found.insertion_points[:, 0, 1], column + np.array([0, 0, 2, 4, 4]),
                               atol=1e-6)
    np.testing.assert_allclose(found.insertion_points[:, 1, 0], other, atol=1e-6)


def test_provenance_has_what_was_given_and_nothing_made_of_it(a_scene, a_heart) -> None:
    pair = beside(a_heart, 1)
    found = study(a_scene, a_heart, points(a_scene, *pair))
    (index, said), = found.provenance["rv_insertion_points"].items()
    assert index == "1"
    np.testing.assert_allclose([said["anterior"], said["inferior"]],
                               [place[1:] for place in pair], atol=1e-3)


def test_points_move_with_their_transform_and_the_volumes(a_scene, a_heart) -> None:
    pair = beside(a_heart, 1)
    node = points(a_scene, *pair)
    matrix = np.eye(4)
    matrix[:3, 3] = (12.0, -7.0, 30.0)
    lge = a_scene.volume(a_heart.sequences[Role.LGE].values, HERE)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)
    moved = a_scene.linear(matrix)
    for one in (node, lge, mask):
        one.SetAndObserveTransformNodeID(moved.GetID())
    found = study_from_nodes(lge=lge, mask=mask, insertions=node,
                             kinds={Role.LGE: "magnitude"})
    assert found.insertion_points is not None
    np.testing.assert_allclose(found.insertion_points[0], [place[1:] for place in pair], atol=1e-6)


def test_a_point_near_a_slice_lies_on_it(a_scene, a_heart) -> None:
    pair = [(index + 0.4, row, column) for index, row, column in beside(a_heart, 1)]
    found = study(a_scene, a_heart, points(a_scene, *pair))
    assert list(found.provenance["rv_insertion_points"]) == ["1"]


def test_left_handed_grids_too(a_scene) -> None:
    axes = np.array(OBLIQUE).reshape(3, 3) * (1, 1, -1)
    turned = Geometry((1.3, 1.1, 8.0), (4.0, 5.0, 6.0), tuple(axes.ravel()))
    heart = a_result_of(geometry=turned).study
    node = points(a_scene, (2, 7.0, 5.0), (2, 17.0, 5.5), geometry=turned)
    found = study(a_scene, heart, node, turned)
    assert found.insertion_points is not None
    np.testing.assert_allclose(found.insertion_points[2], [[7.0, 5.0], [17.0, 5.5]], atol=1e-6)


def test_a_point_still_on_the_mouse_does_not_count(a_scene, a_heart) -> None:
    node = points(a_scene, *beside(a_heart, 1), (1, 4, 4))
    node.SetNthControlPointPosition(2, 0.0, 0.0, 0.0, node.PositionPreview)
    assert count_points(node) == 2
    assert study(a_scene, a_heart, node).insertion_points is not None


@pytest.mark.parametrize(("where", "said"), [
    ([], "hold no point"),
    ([(1, 8, 8)], "are 1, and every slice needs two"),
    ([(1, 8, 8), (2, 16, 8)], "one of a pair is on slice 1 and one on slice 2"),
    ([(1, 8, 8), (1, 8, 9)], "lie in one place"),
    ([(1, 8, 8), (1, 16, 8), (1, 9, 9), (1, 15, 9)], "of slice 1 are given twice"),
    ([(1, 8, 8), (1, -9, 8)], "beside the slices of LGE"),
    ([(-0.8, 8, 8), (-0.8, 16, 8)], "beside the slices of LGE"),
])
def test_bad_points_are_said(a_scene, a_heart, where, said) -> None:
    with pytest.raises(InputError, match=said) as error:
        study(a_scene, a_heart, points(a_scene, *where))
    assert "Smith" not in str(error.value)


def test_exchanged_points_are_said(a_scene, a_heart) -> None:
    # rows run down and back in the patient
    tilted = Geometry((1.3, 1.1, 8.0), (0.0, 0.0, 0.0),
                      (1, 0, 0, 0, 0.6, 0.8, 0, -0.8, 0.6))
    heart = a_result_of(geometry=tilted).study
    row, column = np.argwhere(heart.mask[1]).mean(axis=0)
    node = points(a_scene, (1, row + 6, column), (1, row - 6, column), geometry=tilted)
    found = study(a_scene, heart, node, tilted)
    assert [w for w in found.warnings if "whether the anterior one comes first" in w]


def test_points_far_from_this_heart_are_said(a_scene, a_heart) -> None:
    inside = np.argwhere(a_heart.mask[1])
    row, column = inside.mean(axis=0)
    found = study(a_scene, a_heart, points(a_scene, (1, row, column), (1, row + 8, column)))
    assert [w for w in found.warnings if "far from the rim of the LV mask on slice 1" in w]
