"""`python -m maskprof` is the `maskprof` command."""

import sys

from maskprof.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
