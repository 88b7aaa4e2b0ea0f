"""`python -m bloomdata` is `bloomdata-cli`."""

import sys

from bloomdata.cli import main

if __name__ == "__main__":
    sys.exit(main())
