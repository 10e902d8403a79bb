"""Takes what stands beside docs/ into the site: figures, benchmarks, how to contribute."""

import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {  # what it is in the repository, and in the site
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The files of the site, with those that lie beside docs/."""
    for path, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text("utf-8")))
    for figure in sorted((ROOT / "figures").glob("*.png")):
        files.append(
            File.generated(config, f"figures/{figure.name}", abs_src_path=str(figure))
        )
    return files


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """The page, its links as they are in the site; what is not in it is named only."""
    here = page.file.src_uri
    folder = {name: posixpath.dirname(path) for path, name in PAGES.items()}.get(
        here, posixpath.join("docs", posixpath.dirname(here))
    )

    def in_site(link: re.Match[str]) -> str:
        image, text, target, anchor = link.groups("")
        path = posixpath.normpath(posixpath.join(folder, target))
        name = PAGES.get(path, path.removeprefix("docs/"))
        if not path.startswith("docs/") and files.get_file_from_path(name) is None:
            return f"{text} (`{path}`)"
        there = posixpath.relpath(name, posixpath.dirname(here) or ".")
        return f"{image}[{text}]({there}{anchor})"

    return _LINK.sub(in_site, markdown)
