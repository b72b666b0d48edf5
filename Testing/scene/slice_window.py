"""A slice view drawn without a window, by Slicer's own displayable manager of segmentations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from deepgmm.scene.views import point_on, turn_to

_SIZE = 160


class SliceWindow:
    """A slice view of a scene, on the slice of a volume."""

    def __init__(self, scene: Any, volume: Any, index: int) -> None:
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetSize(_SIZE, _SIZE)
        renderer = vtk.vtkRenderer()
        renderer.GetActiveCamera().ParallelProjectionOn()
        self._window.AddRenderer(renderer)
        interactor = vtk.vtkGenericRenderWindowInteractor()
        self._window.SetInteractor(interactor)
        self._application = slicer.vtkMRMLApplicationLogic()
        self._application.SetMRMLScene(scene)
        self.node = scene.AddNode(slicer.vtkMRMLSliceNode())
        self.node.SetLayoutName("Test")
        self._layers = scene.AddNode(slicer.vtkMRMLSliceCompositeNode())
        self._layers.SetLayoutName("Test")
        self.node.SetDimensions(_SIZE, _SIZE, 1)
        turn_to(self.node, volume)
        across = max(volume.GetImageData().GetDimensions()[i] * volume.GetSpacing()[i]
                     for i in (0, 1))
        self.node.SetFieldOfView(across, across, volume.GetSpacing()[2])
        self.node.JumpSliceByCentering(*(float(v) for v in point_on(volume, index)))
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(self._application)
        name = "vtkMRMLSegmentationsDisplayableManager2D"
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.Initialize(factory, renderer)
        self._group.SetMRMLDisplayableNode(self.node)

    def drawn(self) -> npt.NDArray[np.uint8]:
        """(rows, columns, 3) as it is drawn now, on black."""
        self._window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self._window)
        grab.ReadFrontBufferOff()
        grab.Update()
        return vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(
            _SIZE, _SIZE, -1)[..., :3].copy()
