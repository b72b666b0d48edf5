"""The panel opened from where Slicer's build puts it, instead of from the source tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from builds import ROOT, lay_out

OPEN = """
import json, sys
from pathlib import Path
sys.path.insert(0, "{testing}")
import standins
sys.path.remove("{testing}")
standins.install()
sys.path += ["{testing}/panel", "{testing}/scene", "{testing}/library"]
import panels
from standins import SampleData
from standins.session import begin

panels.MODULE = Path("{installed}") / "DeepGMMSegmentation.py"
sys.modules["SampleData"] = SampleData
begin()
panel = panels.open_panel()
panel.module.register_resources()
import deepgmm, DeepGMMSegmentationLib.panel
(source,) = SampleData.SOURCES["DeepGMM"]
print(json.dumps({{
    "files": [deepgmm.__file__, DeepGMMSegmentationLib.panel.__file__, panel.module.__file__],
    "button": panel.ui.applyButton.text, "sample": source.uris, "torch": "torch" in sys.modules}}))
panel.close()
"""


def test_the_installed_panel_opens(tmp_path: Path) -> None:
    installed = lay_out(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", OPEN.format(testing=ROOT / "Testing", installed=installed)],
        capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(installed / "Logic")})

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert all(Path(file).is_relative_to(installed) for file in told["files"])
    assert told["button"] == "Apply"
    assert not told["torch"]
    assert all(uri.startswith((installed / "Resources/SampleData").as_uri())
               for uri in told["sample"])
