"""From nodes to a study: one grid, a mask, kinds, hashes. The scene stays as it is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.images.cine import still_of
from deepgmm.reading.images.phases import Phase, parse_phase
from deepgmm.reading.masks.lv_mask import MaskAndWall
from deepgmm.scene.grids import Grid, mask_image, volume_on
from deepgmm.scene.insertions import Insertions, insertion_points
from deepgmm.scene.masks import read_mask
from deepgmm.scene.places import is_bending
from deepgmm.scene.proposals import proposal_in
from deepgmm.scene.stacks import Stack, digest, read_stack, shown_frame
from deepgmm.study import study as data
from deepgmm.study.checks import check_study
from deepgmm.study.kinds import exchange_warning, kind_from_description, parse_kind
from deepgmm.study.slice_positions import leave_out_unreached
from deepgmm.study.words import Kind, Role, grid_role

if TYPE_CHECKING:
    import SimpleITK
    import slicer


def study_from_nodes(
    *,
    bssfp: slicer.vtkMRMLNode | None = None,
    lge: slicer.vtkMRMLNode | None = None,
    t2: slicer.vtkMRMLNode | None = None,
    mask: slicer.vtkMRMLNode | None = None,
    segments: Sequence[str] = (),
    mask_labels: str | None = None,
    kinds: Mapping[Role, Kind | str | None] | None = None,
    phase: int | str | None = None,
    lge_time: float | None = None,
    excluded: Mapping[int, str] | None = None,
    insertions: slicer.vtkMRMLMarkupsNode | None = None,
    check: bool = True,
) -> data.Study:
    """A study of volume nodes, on the grid of LGE (else bSSFP, else T2).

    Parent transforms count: linear ones enter the geometry, and of non-linear ones that move
    slices along their normal the true positions are taken. What lies on another grid is
    resampled, which is said.

    Parameters
    ----------
    bssfp, lge, t2 : scalar volumes; bSSFP may be a sequence node of them, of which one frame is
        taken, or a volume that shows one.
    mask : the LV mask, blood and wall together: a segmentation or a volume of labels.
    segments : IDs of the segments that together are the left ventricle; where blood and wall are
        apart among them, the wall is kept.
    mask_labels : what the values of a volume of labels mean (`deepgmm.reading.conventions`).
    kinds : how a sequence was acquired; guessed where not said.
    phase : the frame of a bSSFP cine, counted from 0, or "match"; by default that nearest to
        `lge_time`, where the cine says its times, else as "match".
    lge_time : trigger time of LGE, ms.
    excluded : slices of the grid to leave out, counted from 0, and why.
    insertions : points of the RV insertions, the anterior and then the inferior one, on one
        slice or on several (`deepgmm.scene.insertions`).
    check : look for what would make a fit wrong and guess the kinds not said. This is most of
        the time; a window that must not wait leaves it to the process that fits, which calls
        `check_study` with `guess_of(study, kinds)`.

    Returns
    -------
    study : its hashes are of voxels, not of files; no node's name is in it.

    Raises
    ------
    InputError
        A node that cannot be used, or nodes that do not belong together.

    Examples
    --------
    >>> study = study_from_nodes(lge=lge_volume, mask=segmentation)        # doctest: +SKIP
    """
    nodes = {role: node for role, node in zip(Role, (bssfp, lge, t2)) if node is not None}
    if not nodes:
        raise InputError("no sequence given: give at least one of bSSFP, LGE and T2")
    if mask is None:
        raise InputError("no LV mask given: give the outline of the left ventricle, blood and "
                         "wall together")
    said = {role: parse_kind(role, (kinds or {}).get(role)) for role in nodes}
    role_of_grid = grid_role(nodes)
    stacks = _read(nodes, role_of_grid)
    frame = frame_of(nodes[role_of_grid])
    grid = grid_of(nodes[role_of_grid], role_of_grid.title, stacks[role_of_grid])
    drawn = read_mask(mask, grid, segments=segments, labels=mask_labels, frame=frame)
    provenance = (_take_frame(stacks, grid, drawn, phase, lge_time)
                  or _frame_shown(nodes.get(Role.BSSFP)))
    named = (exchange_warning(role, node.GetName() or "") for role, node in nodes.items())
    noted = proposal_in(mask, segments)
    if noted is not None:
        provenance |= {"mask_proposal": noted["provenance"] | {"looked_at": noted["looked_at"]}}
    unseen = noted["warnings"] if noted is not None and not noted["looked_at"] else []
    warnings = [*unseen, *filter(None, named), *_uneven(grid),
                *(w for s in stacks.values() for w in s.warnings), *drawn.warnings]
    sequences = {role: data.Sequence(role, volume_on(grid, stack, warnings))
                 for role, stack in stacks.items()}
    study = data.Study(
        sequences=sequences, mask=drawn.mask, wall=drawn.wall, geometry=grid.place.geometry,
        excluded=_excluded(excluded, drawn.mask.shape[0]), warnings=warnings,
        provenance=provenance,
        hashes={role.value: stack.hash for role, stack in stacks.items()}
        | {"mask": digest(drawn.mask)}
        | ({} if drawn.wall is None else {"wall": digest(drawn.wall)}))
    if insertions is not None:
        _insert(study, insertion_points(insertions, grid, study.mask))
    for role, sequence in study.sequences.items():
        sequence.kind = (said[role] or kind_from_description(role, nodes[role].GetName() or "")
                         or Kind.UNKNOWN)
    leave_out_unreached(study)
    if check:
        check_study(study, guess=guess_of(study, said))
    return study


def images_from_nodes(*, bssfp: slicer.vtkMRMLVolumeNode | None = None,
                      lge: slicer.vtkMRMLVolumeNode | None = None,
                      t2: slicer.vtkMRMLVolumeNode | None = None) -> data.Study:
    """A study whose LV mask is still empty, to propose one for; as `study_from_nodes`.

    Where a sequence does not reach, it is 0.

    Raises
    ------
    InputError
        A node that cannot be used, or a sequence of frames: which is meant, none can tell yet.
    """
    nodes = {role: node for role, node in zip(Role, (bssfp, lge, t2)) if node is not None}
    if not nodes:
        raise InputError("no sequence given: give at least one of bSSFP, LGE and T2")
    role_of_grid = grid_role(nodes)
    stacks = _read(nodes, role_of_grid)
    if any(stack.cine is not None for stack in stacks.values()):
        raise InputError("bSSFP is a sequence of frames: give the one that the LV mask is for")
    grid = grid_of(nodes[role_of_grid], role_of_grid.title, stacks[role_of_grid])
    warnings = [*_uneven(grid), *(w for s in stacks.values() for w in s.warnings)]
    if _frame_shown(nodes.get(Role.BSSFP)) and len(nodes) > 1:
        warnings.append("the frame of bSSFP that is shown was taken: show the one that fits the "
                        "others first")
    values = {role: np.nan_to_num(volume_on(grid, stack, warnings), posinf=0.0, neginf=0.0)
              for role, stack in stacks.items()}
    return data.Study(
        sequences={role: data.Sequence(role, one) for role, one in values.items()},
        mask=np.zeros(values[role_of_grid].shape, bool), geometry=grid.place.geometry,
        warnings=warnings, hashes={role.value: stack.hash for role, stack in stacks.items()})


def _insert(study: data.Study, found: Insertions) -> None:
    study.insertion_points = found.points
    study.warnings += found.warnings
    study.provenance["rv_insertion_points"] = found.as_dict()


def guess_of(study: data.Study, kinds: Mapping[Role, Kind | str | None] | None) -> list[Role]:
    """The sequences whose kind nobody said, to be guessed from their looks."""
    return [role for role, sequence in study.sequences.items()
            if sequence.kind is Kind.UNKNOWN
            and parse_kind(role, (kinds or {}).get(role)) is None]


def _read(nodes: dict[Role, Any], role_of_grid: Role) -> dict[Role, Stack]:
    for one, other in itertools.combinations(nodes, 2):
        if nodes[one] is nodes[other]:
            raise InputError(f"{one.title} and {other.title} are the same node: "
                             "give each sequence its own")
    frame = frame_of(nodes[role_of_grid])
    stacks = {role: read_stack(node, role.title, None if role is role_of_grid else frame)
              for role, node in nodes.items()}
    for role, stack in stacks.items():
        if nodes[role].IsA("vtkMRMLLabelMapVolumeNode"):
            raise InputError(f"{role.title} is a labelmap: give the image itself")
        if stack.cine is not None and role is not Role.BSSFP:
            raise InputError(f"{role.title} is a sequence of {len(stack.cine.values)} frames: "
                             "give one volume")
    for one, other in itertools.combinations(stacks, 2):
        if stacks[one].hash == stacks[other].hash:
            raise InputError(f"{one.title} and {other.title} hold the same voxels: "
                             "give each sequence its own")
    return stacks


def frame_of(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLTransformNode | None:
    """The transform that bends the grid; what is under the same one is not bent against it."""
    if node.IsA("vtkMRMLSequenceNode"):
        return None
    transform = node.GetParentTransformNode()
    return transform if is_bending(transform) else None


def grid_of(node: slicer.vtkMRMLNode, name: str, stack: Stack | None = None) -> Grid:
    """The grid of a volume, which messages call by `name`; `stack` where it was read already."""
    stack = read_stack(node, name) if stack is None else stack
    frame = frame_of(node)
    framed = stack.image if frame is None else read_stack(node, stack.name, frame).image
    return Grid(stack.name, stack.image, stack.place, framed)


def _uneven(grid: Grid) -> list[str]:
    if grid.place.along is None:
        return []
    gaps = sorted(float(b - a) for a, b in itertools.pairwise(grid.place.along))
    return [f"{grid.name}: the slices are unevenly spaced ({gaps[0]:.1f} to {gaps[-1]:.1f} mm); "
            "the others are matched to their true positions, but volumes in ml count each "
            f"slice as {grid.place.geometry.spacing[2]:.1f} mm"]


def _take_frame(stacks: dict[Role, Stack], grid: Grid, drawn: MaskAndWall,
                phase: int | str | None, lge_time: float | None) -> dict[str, Any]:
    """Take one frame of a cine; returns which, for provenance."""
    stack = stacks.get(Role.BSSFP)
    if stack is None or stack.cine is None:
        if parse_phase(phase) is not None:
            raise InputError("there is one frame of bSSFP or none, so none can be chosen: give "
                             "the cine as a sequence, or leave the frame out")
        return {}

    def draw(_: SimpleITK.Image) -> tuple[SimpleITK.Image, SimpleITK.Image | None]:
        return (mask_image(grid, drawn.mask),
                None if drawn.wall is None else mask_image(grid, drawn.wall))

    still, chosen = still_of(stack.cine, phase, draw, lge_time)
    stack.image = still.image
    return {"bssfp_phase": chosen.as_dict()}


def _frame_shown(node: Any) -> dict[str, Any]:
    """Of a volume that shows a frame of a cine: which, for provenance."""
    shown = shown_frame(node)
    if shown is None:
        return {}
    sequence, frame = shown
    return {"bssfp_phase": Phase(frame, sequence.GetNumberOfDataNodes(),
                                 "shown when it was taken").as_dict()}


def _excluded(excluded: Mapping[int, str] | None, slices: int) -> dict[int, str]:
    for index in excluded or {}:
        if not 0 <= index < slices:
            raise InputError(f"there is no slice {index} to leave out: the grid has {slices}, "
                             f"0 to {slices - 1}")
    return dict(excluded or {})
