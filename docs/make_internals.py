"""Bring the line numbers in docs/internals.md up to date: ``python docs/make_internals.py``."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/internals.md"

#: `path:line` `name`, the name of something defined there.
REFERENCE = re.compile(r"`(autodiff/[\w/]+\.py):(\d+)` `(\w+)`")


def line_of(path: str, name: str) -> int:
    """Where a function, class or constant is defined."""
    definition = re.compile(rf"\s*((async )?def|class) {name}\b|{name}\b.*[=:]")
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        if definition.match(line):
            return number
    raise LookupError(f"docs/internals.md: {path} does not define {name}")


def main() -> None:
    """Rewrite the page."""
    text = PAGE.read_text()
    PAGE.write_text(REFERENCE.sub(lambda m: f"`{m[1]}:{line_of(m[1], m[3])}` `{m[3]}`", text))


if __name__ == "__main__":
    main()
