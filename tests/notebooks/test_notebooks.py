"""Lesson code in notebooks: with all the names that it needs."""

import ast
import subprocess
import sys

import pytest

from tools.notebooks import NOTEBOOKS, code_cells, read_notebook


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_name_that_lesson_code_uses_is_imported_before(path):
    """Also in branches that no run of the notebook reaches; names of types in annotations need not be."""
    lines = [line for cell in code_cells(read_notebook(path)) for line in cell.source.splitlines()]
    code = ast.parse("\n".join(line for line in lines if not line.startswith("%")))
    for node in ast.walk(code):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant("")
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "concise", "-"]
    found = subprocess.run(ruff, input=ast.unparse(code), capture_output=True, text=True, cwd=path.parent)
    assert found.returncode == 0, found.stdout
