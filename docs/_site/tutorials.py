"""Makes a page of each tutorial, which is a script of `# %%` cells."""

import pathlib
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

TUTORIALS = pathlib.Path(__file__).parents[1] / "tutorials"
_CELL = re.compile(r"^# %%(?: \[(markdown|prints)\])?\n", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The files of the site, with a page for each script of docs/tutorials."""
    for script in sorted(TUTORIALS.glob("*.py")):
        page = markdown_of(script.read_text("utf-8"))
        name = f"tutorials/{script.stem}.md"
        files.append(File.generated(config, name, content=page))
    return files


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """The page, its links to scripts of docs/tutorials leading to their pages."""
    return re.sub(r"\]\((tutorials/)?(\w+)\.py\)", r"](\1\2.md)", markdown)


def markdown_of(script: str) -> str:
    """The script as a page: text, code, and what the code prints, cell by cell."""
    _, *cells = _CELL.split(script)
    bodies = zip(cells[::2], cells[1::2], strict=True)
    return "\n\n".join(_rendered(kind, body) for kind, body in bodies) + "\n"


def _rendered(kind: str | None, body: str) -> str:
    if kind is None:
        return f"```python\n{body.strip()}\n```"
    text = re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
    return text if kind == "markdown" else f"```text\n{text}\n```"
