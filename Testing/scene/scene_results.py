"""Results beside LGE in a scene: what is to be found there, also once it was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scenes import TO_RAS, Scene, numpy_support, placed, slicer

from deepgmm.result import Result
from deepgmm.study.study import Geometry
from deepgmm.study.words import Role, Tissue


def lge_of(scene: Scene, result: Result, geometry: Geometry | None = None):
    return scene.volume(result.study.sequences[Role.LGE].values,
                        geometry or result.study.geometry, "Smith^John LGE")


def expected_ras(result: Result, tissue: Tissue, geometry: Geometry) -> np.ndarray:
    ijk = np.argwhere(result.labels == tissue)[:, ::-1]
    return placed(ijk, TO_RAS @ geometry.index_to_world())


def voxels_of(node) -> np.ndarray:
    image = node.GetImageData()
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(
        image.GetDimensions()[::-1])


def rows_of(table) -> list[dict]:
    columns = [table.GetTable().GetColumn(i) for i in range(table.GetTable().GetNumberOfColumns())]
    return [{c.GetName(): c.GetValue(r) for c in columns}
            for r in range(table.GetTable().GetNumberOfRows())]


def saved_and_opened(scene: Scene, folder: Path, way: str) -> Scene:
    """The scene as it comes back from `.mrml` with files beside it, or from one `.mrb`."""
    opened = Scene()
    if way == "mrb":
        assert scene.mrml.WriteToMRB(str(folder / "heart.mrb"))
        remote, manager = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkDataIOManagerLogic()
        (folder / "cache").mkdir()
        remote.GetCacheManager().SetRemoteCacheDirectory(str(folder / "cache"))
        remote.SetMRMLScene(opened.mrml)
        remote.AddDataIOToScene()
        manager.SetMRMLApplicationLogic(slicer.vtkMRMLApplicationLogic())
        manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
        opened.logics += [remote, manager]
        assert opened.mrml.ReadFromMRB(str(folder / "heart.mrb"), False, None)
        return opened
    suffixes = {"vtkMRMLSegmentationNode": ".seg.nrrd", "vtkMRMLTableNode": ".tsv",
                "vtkMRMLScalarVolumeNode": ".nrrd"}
    scene.mrml.SetRootDirectory(str(folder))
    for number in range(scene.mrml.GetNumberOfNodes()):
        node = scene.mrml.GetNthNode(number)
        if node.GetClassName() in suffixes:
            storage = node.CreateDefaultStorageNode()
            scene.mrml.AddNode(storage)
            node.SetAndObserveStorageNodeID(storage.GetID())
            storage.SetFileName(str(folder / f"{number}{suffixes[node.GetClassName()]}"))
            assert storage.WriteData(node) == 1
    scene.mrml.SetURL(str(folder / "heart.mrml"))
    assert scene.mrml.Commit()
    opened.mrml.SetRootDirectory(str(folder))
    opened.mrml.SetURL(str(folder / "heart.mrml"))
    assert opened.mrml.Connect()
    return opened
