"""Stands in for `PythonSlicer`: starts the real Python as a child, waits for it, and passes on its
exit status. Noisier than the real one, and no kinder: killed, it leaves the child alone. What
LAUNCHER_PYTHONPATH names goes before PYTHONPATH, as Slicer's own packages do.

    python launcher.py -m deepgmm.jobs.worker
"""

from __future__ import annotations

import os
import subprocess
import sys

if __name__ == "__main__":
    print("a launcher is starting Python", flush=True)
    own, given = (os.environ.get(name, "") for name in ("LAUNCHER_PYTHONPATH", "PYTHONPATH"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (own, given)))}
    status = subprocess.Popen([sys.executable, *sys.argv[1:]], env=environment).wait()
    sys.exit(status if status >= 0 else 128 - status)
