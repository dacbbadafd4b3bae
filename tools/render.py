"""Turn an executed notebook into a page that needs no other file."""

import copy
import os
import re
from pathlib import Path

from jinja2 import DictLoader
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from tools.include_lessons import without_badge
from tools.notebooks import write_text

_NOTEBOOK_LINK = re.compile(r'(href="(?:\./)?[0-9]{2}_\w+)\.ipynb(?=["#])')
_REPOSITORY_LINK = re.compile(r'(?<=href=")(\.\./[^"#?]+)')
_CODE_OR_FORMULA = re.compile(r"`[^`]*`|\$\$(?P<block>.+?)\$\$|\$(?P<inline>\S(?:[^$\n]*\S)?)\$", re.DOTALL)
_SIGN = "\ue000"  # from Unicode's private use area: occurs in no text
_TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% macro with_alt(picture, output, kind) -%}
{{ picture | replace('<img', '<img alt="' ~ ((output | get_metadata('alt', kind)) or '') | escape ~ '"', 1) }}
{%- endmacro %}
{% block data_png %}{{ with_alt(super(), output, 'image/png') }}{% endblock %}
{% block data_jpg %}{{ with_alt(super(), output, 'image/jpeg') }}{% endblock %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
"""


def _take_out_formulas(cells: list[NotebookNode]) -> list[str]:
    """Replace each formula, which nbconvert would not let through, by a sign; return the formulas as MathML."""
    formulas = []

    def take_out(match: re.Match) -> str:
        if not (match["block"] or match["inline"]):
            return match[0]
        text, display = (match["block"] or match["inline"]).strip(), "block" if match["block"] else "inline"
        formulas.append(convert(text.replace("{aligned}", "{align*}"), display=display))
        return f"{_SIGN}{len(formulas) - 1}{_SIGN}"

    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _CODE_OR_FORMULA.sub(take_out, cell.source)
    return formulas


def write_page(notebook: NotebookNode, name: str, folder: Path, path: Path) -> None:
    """Write a notebook as an HTML page that holds its pictures, with their alternative texts, and loads no script.

    Formulas become MathML, which browsers display by themselves. The badge that opens a notebook in Colab is left out,
    since its picture is on the network, and so is the code of cells tagged "hide-input".

    Args:
        folder: what the notebook's relative links and pictures are relative to.
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
    formulas = _take_out_formulas(shown.cells)
    html, _ = exporter.from_notebook_node(shown, {"metadata": {"name": name, "path": str(folder)}})
    html = re.sub(rf"{_SIGN}(\d+){_SIGN}", lambda match: formulas[int(match[1])], html)

    def from_page(link: re.Match) -> str:
        """A link to another file of the course, relative to the page instead of the notebook."""
        target = (folder / link[1]).resolve()
        return Path(os.path.relpath(target, path.resolve().parent)).as_posix() if target.exists() else link[1]

    write_text(_REPOSITORY_LINK.sub(from_page, _NOTEBOOK_LINK.sub(r"\1.html", html)), path)
