"""Makes a link of each page that a docstring names by its path, as docs/traces.md."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_PATH = re.compile(r"\bdocs/(\w+\.md)\b")


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page of the reference, with links; `PluginError` for a page that is not there."""

    def link(path: re.Match[str]) -> str:
        target = files.get_file_from_path(path[1])
        if target is None:
            raise PluginError(f"{page.file.src_uri}: a docstring names {path[0]}.")
        return f'<a href="{target.url_relative_to(page.file)}">{path[1]}</a>'

    return _PATH.sub(link, html) if page.file.src_uri.startswith("reference/") else html
