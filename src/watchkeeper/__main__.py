"""`python -m watchkeeper`."""

import sys

from watchkeeper.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
