"""The course's notebooks: with the lesson code of the modules, and with all that it needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.notebooks import NOTEBOOKS, read_notebook

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_of(path: Path) -> ast.Module:
    """All code of a notebook as one module, without magics."""
    cells = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]
    return ast.parse("\n".join(line for source in cells for line in source.splitlines() if not line.startswith("%")))


@each_notebook
def test_every_name_that_lesson_code_uses_is_imported_before(path):
    """Also in branches that no run of the notebook reaches; names of types in annotations need not be."""
    code = code_of(path)
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


@each_notebook
def test_what_a_notebook_defines_or_imports_it_uses(path):
    """A function that is shown is called: in a cell, or by another one that is."""
    statements = [statement for statement in code_of(path).body if getattr(statement, "module", "") != "__future__"]
    names_in = {part: {node.id for node in ast.walk(part) if isinstance(node, ast.Name)} for part in statements}
    functions = [part for part in statements if isinstance(part, (ast.FunctionDef, ast.ClassDef))]
    runs = [part for part in statements if part not in functions]
    for _ in functions:
        runs += [part for part in functions if part not in runs and any(part.name in names_in[other] for other in runs)]
    unused = [part.name for part in functions if part not in runs]
    for part in statements:
        if isinstance(part, (ast.Import, ast.ImportFrom)):
            later = set().union(*(names_in[other] for other in runs if other.lineno > part.lineno))
            unused += {(alias.asname or alias.name).partition(".")[0] for alias in part.names} - later
    assert not unused
