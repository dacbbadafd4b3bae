"""Turn an executed notebook into a page that needs no other file."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path

from jinja2 import DictLoader
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from tools.include_lessons import without_badge
from tools.notebooks import write_text

_NOTEBOOK_LINK = re.compile(r'(href="(?:\./)?[0-9]{2}_\w+)\.ipynb(?=["#])')
_REPOSITORY_LINK = re.compile(r'(?<=href=")(\.\./[^"#?]+)')
_FORMULA = re.compile(r"\$[^$\n]+\$|\\\(|\\\[")
_TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% macro with_alt(picture, output, kind) -%}
{{ picture | replace('<img', '<img alt="' ~ ((output | get_metadata('alt', kind)) or '') | escape ~ '"', 1) }}
{%- endmacro %}
{% block data_png %}{{ with_alt(super(), output, 'image/png') }}{% endblock %}
{% block data_jpg %}{{ with_alt(super(), output, 'image/jpeg') }}{% endblock %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}{% if resources.has_formulas %}{{ super() }}{% endif %}{% endblock %}
"""


def write_page(notebook: NotebookNode, name: str, folder: Path, path: Path) -> None:
    """Write a notebook as an HTML page that holds its pictures, with their alternative texts, and loads no script.

    The one exception are formulas: a page that has some loads MathJax where there is a network. The badge that opens
    a notebook in Colab is left out, since its picture is on the network, and so is the code of cells tagged
    "hide-input".

    Args:
        notebook: an executed notebook.
        name: title of the page.
        folder: what the notebook's relative links and pictures are relative to.
        path: the file to write.
    """
    exporter = HTMLExporter(
        template_file="course.html.j2",
        extra_loaders=[DictLoader({"course.html.j2": _TEMPLATE})],
        embed_images=True,
        exclude_anchor_links=True,
        config=Config({"TagRemovePreprocessor": {"enabled": True, "remove_input_tags": {"hide-input"}}}),
    )
    shown = copy.deepcopy(notebook)
    shown.cells[0].source = without_badge(shown.cells[0].source)
    has_formulas = any(_FORMULA.search(cell.source) for cell in shown.cells if cell.cell_type == "markdown")
    resources = {"metadata": {"name": name, "path": str(folder)}, "has_formulas": has_formulas}
    html, _ = exporter.from_notebook_node(shown, resources=resources)

    def from_page(link: re.Match) -> str:
        """A link to another file of the course, as it must stand in the page instead of in the notebook."""
        target = (folder / link[1]).resolve()
        return Path(os.path.relpath(target, path.resolve().parent)).as_posix() if target.exists() else link[1]

    write_text(_REPOSITORY_LINK.sub(from_page, _NOTEBOOK_LINK.sub(r"\1.html", html)), path)
