"""What is there for speed, derived from :mod:`autodiff.core`, which never imports it; it installs itself.

Take this folder away and every result stays the same to the bit (``with autodiff.plain():`` does it for a block,
``AUTODIFF_PLAIN=1`` for a process; ``tests/core/test_plain.py`` holds the two equal over the whole registry).
"""

import os

from autodiff.core.errors import ArgumentError
from autodiff.core.modes import is_plain

if (_told := os.environ.get("AUTODIFF_PLAIN", "")) not in ("", "0", "1"):
    raise ArgumentError(f"the environment variable AUTODIFF_PLAIN must be 0 or 1, got {_told!r}")
if not is_plain():
    from autodiff.fast import templates, walk

    templates.install()
    walk.install()
