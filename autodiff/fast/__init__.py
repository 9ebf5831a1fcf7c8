"""What is there for speed, derived from :mod:`autodiff.core`, which never imports it; it installs itself.

Take this folder away and every result stays the same to the bit (``with autodiff.plain():`` does it for a block,
``AUTODIFF_PLAIN=1`` for a process; ``tests/core/test_plain.py`` holds the two equal over the whole registry).
"""

from autodiff.core.modes import is_plain

if not is_plain():
    from autodiff.fast import templates, walk

    templates.install()
    walk.install()
