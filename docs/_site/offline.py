"""Refuses a page that would ask another host for anything when it is opened."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

_LOADED = re.compile(
    r"""<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)"""
)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """The page as it is; `PluginError` names what it would fetch from elsewhere."""
    elsewhere = _LOADED.search(output)
    if elsewhere is not None:
        raise PluginError(f"{page.file.src_uri} loads {elsewhere[1]} when it is opened.")
    return output
