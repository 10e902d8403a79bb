"""The pages of the documentation, and the examples in them."""

import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))
_BLOCK = re.compile(r"^```python\n(import carbjax.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    page: pathlib.Path
    line: int  # of the file, at which the code begins
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def examples() -> list[Example]:
    """Every Python block that imports carbjax first, in README and docs."""
    return [
        Example(page, text.count("\n", 0, match.start(1)) + 1, match[1])
        for page in (ROOT / "README.md", *PAGES)
        for text in [page.read_text("utf-8")]
        for match in _BLOCK.finditer(text)
    ]
