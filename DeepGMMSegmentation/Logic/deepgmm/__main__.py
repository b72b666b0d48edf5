"""`python -m deepgmm` is the command `deepgmm`."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # a cohort's workers import this file, and need no command line
    from deepgmm.cli.main import main

    sys.exit(main())
