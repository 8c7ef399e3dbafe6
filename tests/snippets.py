"""The Python of a document, run."""

from __future__ import annotations

import re
from pathlib import Path


def run(page: Path) -> dict:
    """All Python blocks of a document, one after the other, in one scope, which is returned."""
    scope: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), scope)
    return scope
