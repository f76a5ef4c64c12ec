"""Hooks of MkDocs: pages from outside ``docs/``, and links between files as links of the site.

The pages are written for the repository: their links lead to files, also to those that are no page
here. Such a link becomes plain text, since the site may be read without the repository.
"""  # noqa: INP001  # a module that MkDocs reads

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index",
    "deploy/README.md": "deploying",
    "bench/README.md": "measurements",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
}
"""Files of the repository, and the page of the site that each becomes."""

MARKDOWN = ".md"

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page + MARKDOWN, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, files: Files, **_: Any) -> str:
    """Turn links to files into links to pages, outside of code."""
    inside = {page + MARKDOWN: source for source, page in OUTSIDE.items()}
    source = inside.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def linked(match: re.Match[str]) -> str:
        image, text, path, anchor = match[1], match[2], match[3], match[4] or ""
        if not path:
            return match[0]
        target = normpath(str(PurePosixPath(source).parent / path))
        outside = OUTSIDE.get(target)
        name = target.removeprefix("docs/") if outside is None else outside + MARKDOWN
        if files.get_file_from_path(name) is None:
            return match[0] if image else text
        return f"{image}[{text}]({name}{anchor})"

    parts = _CODE.split(markdown)
    return "".join(
        part if number % 2 else _LINK.sub(linked, part) for number, part in enumerate(parts)
    )
