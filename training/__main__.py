"""``python -m training CONFIG.yaml [key=value ...]`` is ``soen train``."""

import sys

from soen_event.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
