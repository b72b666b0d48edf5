"""`python -m deepgmm` is the command `deepgmm`."""

from __future__ import annotations

import sys

from deepgmm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
