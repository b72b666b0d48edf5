"""An affine map from an atlas to a brain, by mutual information of the two images.

Matrices are 4 x 4 and take (z, y, x, 1) in mm to the same: up, back, left, as
`BrainVolume.affine` has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import SimpleITK

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

#: Sizes of the voxels that are compared, mm, from first to last.
_VOXELS = (8.0, 4.0)

_TURN = [2, 1, 0]


def affine_to(template: Array, template_affine: Matrix, image: Array, image_affine: Matrix
              ) -> Matrix:
    """Where each place of a template lies in an image.

    Maximises Mattes' mutual information over a rigid map and then an affine one, from matched
    centres of mass, on voxels of 8 and then 4 mm, all of which are used: the same inputs give the
    same map.

    Parameters
    ----------
    template, image : (D, H, W), 0 outside the brain.
    template_affine, image_affine : index to mm.

    Returns
    -------
    4 x 4, from mm of the template to mm of the image.
    """
    import SimpleITK as sitk

    fixed, moving = (_coarse(template, template_affine, _VOXELS[0]),
                     _coarse(image, image_affine, _VOXELS[0]))
    transform = sitk.AffineTransform(3)
    centre = _centre(template, template_affine)
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(centre.tolist())
    rigid.SetTranslation((_centre(image, image_affine) - centre).tolist())
    _optimise(fixed, moving, rigid, 60)
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(rigid.GetMatrix())
    transform.SetTranslation(rigid.GetTranslation())
    _optimise(fixed, moving, transform, 100)
    fixed, moving = (_coarse(template, template_affine, _VOXELS[1]),
                     _coarse(image, image_affine, _VOXELS[1]))
    _optimise(fixed, moving, transform, 40, 0.25)
    matrix = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    shift = np.array(transform.GetTranslation()) + centre - matrix @ centre
    result = np.eye(4)
    result[:3, :3] = matrix[np.ix_(_TURN, _TURN)]
    result[:3, 3] = shift[_TURN]
    return result


def resampled(image: Array, image_affine: Matrix, shape: tuple[int, ...], affine: Matrix,
              to_image: Matrix | None = None, *, smoothing: float = 0.0,
              nearest: bool = False) -> Array:
    """An image on another grid, 0 where it has nothing.

    Parameters
    ----------
    shape, affine : of the grid wanted.
    to_image : from mm of that grid to mm of the image; by default they are the same.
    smoothing : standard deviation in mm of a Gaussian before sampling.
    """
    from scipy.ndimage import affine_transform, gaussian_filter

    if smoothing > 0:
        edges = np.linalg.norm(image_affine[:3, :3], axis=0)
        image = gaussian_filter(image, smoothing / edges)
    through = np.eye(4) if to_image is None else to_image
    index = np.linalg.inv(image_affine) @ through @ affine
    return np.asarray(affine_transform(image, index[:3, :3], index[:3, 3], tuple(shape),
                                       order=0 if nearest else 1, output=np.float32))


def _coarse(image: Array, affine: Matrix, voxel: float) -> SimpleITK.Image:
    import SimpleITK as sitk

    edges = np.linalg.norm(affine[:3, :3], axis=0)
    corner = np.array(image.shape)
    shape = tuple(int(n) for n in np.ceil(corner * edges / voxel).astype(int))
    grid = affine.copy()
    grid[:3, :3] = affine[:3, :3] / edges * voxel
    values = resampled(image, affine, shape, grid, smoothing=0.4 * voxel)
    result = sitk.GetImageFromArray(values)
    result.SetSpacing((voxel,) * 3)
    result.SetOrigin(grid[:3, 3][_TURN].tolist())
    result.SetDirection((grid[:3, :3] / voxel)[np.ix_(_TURN, _TURN)].ravel().tolist())
    return result


def _centre(image: Array, affine: Matrix) -> Matrix:
    """(x, y, z) mm of the middle of what is not 0."""
    index = np.argwhere(image != 0).mean(0)
    return np.asarray((affine @ [*index, 1])[:3][_TURN])


def _optimise(fixed: SimpleITK.Image, moving: SimpleITK.Image, transform: SimpleITK.Transform,
              steps: int, length: float = 1.0) -> None:
    """Move the transform to where the images tell most of each other."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)             # sums in one order: the same map every time
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(length, 1e-3, steps, 0.5, 1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
