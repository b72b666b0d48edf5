"""A stand-in for Slicer's module of this name, as far as a module's own sample needs it.

It keeps what would hurt: sources need lists of one length, files are fetched by their address
into a cache and kept there, a checksum that does not fit throws the file away, and a custom
downloader is not asked by `downloadSamples`. Files are read by Slicer's real storage nodes.
"""

import urllib.request
from pathlib import Path

import slicer

#: By category, in order.
SOURCES: dict = {}

_STORAGES = {
    "VolumeFile": ("vtkMRMLScalarVolumeNode", "vtkMRMLNRRDStorageNode"),
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "MarkupsFile": ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode"),
}


class SampleDataSource:
    """One sample: as many addresses, file names, node names, types and checksums."""

    def __init__(self, **fields):
        self.__dict__.update(fields)
        lists = (self.uris, self.fileNames, self.nodeNames, self.checksums, self.loadFileType)
        if len({len(one) for one in lists}) != 1:
            raise ValueError("all lists of a sample must be of the same length")

    def __eq__(self, other):
        return self.__dict__ == other.__dict__


class SampleDataLogic:
    """Registers and loads samples.

    Attributes
    ----------
    scene, cache : where nodes and files go; a test sets them.
    """

    scene = None
    cache = None

    @staticmethod
    def registerCustomSampleDataSource(category="Custom", sampleName=None, uris=None,
                                       fileNames=None, nodeNames=None, customDownloader=None,
                                       thumbnailFileName=None, loadFileType="VolumeFile",
                                       loadFiles=None, loadFileProperties={},  # noqa: B006
                                       checksums=None):
        source = SampleDataSource(
            sampleName=sampleName, uris=uris, fileNames=fileNames, nodeNames=nodeNames,
            thumbnailFileName=thumbnailFileName, loadFileType=loadFileType, checksums=checksums)
        listed = SOURCES.setdefault(category, [])
        if source not in listed:
            listed.append(source)

    def downloadSamples(self, sampleName):
        for source in sum(SOURCES.values(), []):
            if source.sampleName == sampleName:
                return [self._loaded(*one) for one in zip(
                    source.uris, source.fileNames, source.nodeNames, source.checksums,
                    source.loadFileType)]
        return []

    def _loaded(self, uri, name, node_name, checksum, kind):
        path = Path(self.cache) / name
        if not path.exists():
            urllib.request.urlretrieve(uri, path)
        algorithm, digest = slicer.util.extractAlgoAndDigest(checksum)
        if slicer.util.computeChecksum(algorithm, str(path)) != digest:
            path.unlink()
            return None
        node_class, storage_class = _STORAGES[kind]
        node = self.scene.AddNewNodeByClass(node_class, node_name)
        storage = self.scene.AddNewNodeByClass(storage_class)
        storage.SetFileName(str(path))
        read = storage.ReadData(node)
        self.scene.RemoveNode(storage)
        return node if read else None


def downloadSamples(sampleName):
    """The nodes of a sample."""
    return SampleDataLogic().downloadSamples(sampleName)


def downloadSample(sampleName):
    """The first node of a sample."""
    return downloadSamples(sampleName)[0]
