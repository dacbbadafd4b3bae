"""The course's notebooks: with the lesson code of the modules, and with all that it needs."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tools.notebooks import NOTEBOOKS, read_notebook

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


class _WithoutAnnotations(ast.NodeTransformer):
    """Names of types need not be imported in a notebook: nothing evaluates annotations."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        node.annotation = ast.Constant("")
        return node


@each_notebook
def test_every_name_that_lesson_code_uses_is_imported_before(path):
    """Also in branches that no run of the notebook reaches."""
    cells = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]
    code = "\n".join(line for source in cells for line in source.splitlines() if not line.startswith("%"))
    code = ast.unparse(_WithoutAnnotations().visit(ast.parse(code)))
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "concise", "-"]
    found = subprocess.run(ruff, input=code, capture_output=True, text=True, cwd=path.parent)
    assert found.returncode == 0, found.stdout
