"""Small notebooks for the tests of the tools."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one pixel: a PNG in base64."""


OPENING = """# A lesson

**After this notebook you will be able to** add.

- **Before you start:** [nothing](https://example.org).
- **Time:** 2 minutes on a CPU. GPU: not timed.
- **Difficulty:** easy.
- **Words:** [caption](../docs/glossary.md#caption).
"""
"""What learners are told at the top of a lesson."""

QUESTIONS = """## Check yourself

<details><summary>One and one?</summary>
<p>Two.</p>
</details>

<details><summary>Two and two?</summary>Four.</details>
"""
"""Questions with folded answers."""


def code(source: str, *tags: str, **metadata: object) -> NotebookNode:
    """A code cell that has not been executed."""
    return new_code_cell(source, metadata={**({"tags": list(tags)} if tags else {}), **metadata})


def executed(source: str, count: int, *outputs: NotebookNode, tags: tuple[str, ...] = ()) -> NotebookNode:
    """A code cell with an execution count and outputs."""
    cell = code(source, *tags)
    cell.execution_count, cell.outputs = count, list(outputs)
    return cell


def printed(text: str, name: str = "stdout") -> NotebookNode:
    """What a cell prints."""
    return new_output("stream", name=name, text=text)


def picture(metadata: dict) -> NotebookNode:
    """A picture that a cell shows."""
    return new_output("display_data", {"image/png": PIXEL, "text/plain": "a pixel"}, metadata=metadata)


def notebook(*cells: NotebookNode | str) -> NotebookNode:
    """A notebook of these cells; texts become markdown cells."""
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    metadata["language_info"] = {"name": "python"}
    nodes = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    made = new_notebook(cells=nodes, metadata=metadata)
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"
    return made


def write(made: NotebookNode, path: Path) -> Path:
    """Write a notebook and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)
    return path


def well_formed() -> NotebookNode:
    """A notebook in which nothing is amiss."""
    return notebook(
        OPENING,
        "## First things\n\n![a pixel](pixel.png)\n\n```\n# no heading\n```",
        executed("print(1 + 1)", 1, printed("2\n"), tags=("nbval-check-output",)),
        "### A detail",
        executed("show()", 2, picture({"image/png": {"alt": "a grey pixel"}})),
        QUESTIONS,
        "## Further reading\n\n" + "\n".join(f"- [{name}](https://example.org/{name}): good." for name in "abc"),
        "## Recap\n\nWe added.",
        "## What comes next\n\nWe multiply.",
    )
