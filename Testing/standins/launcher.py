"""Stands in for `PythonSlicer`: starts the real Python as a child, waits for it, and passes on its
exit status. Noisier than the real one, and no kinder: killed, it leaves the child alone.

    python launcher.py -m deepgmm.jobs.worker
"""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    print("a launcher is starting Python", flush=True)
    status = subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()
    sys.exit(status if status >= 0 else 128 - status)
