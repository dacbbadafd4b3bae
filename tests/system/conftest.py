"""What the tests of commands have in common."""

import pytest

from say_what_you_see.commands.main import main


@pytest.fixture(scope="module")
def chromium_page(tmp_path_factory):
    """A browser of the module's own, with one empty page."""
    from demo_browser import chromium

    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def command(course_environ, capsys):
    """Runs a command on the finished course, checks its exit status, and returns what it printed and its errors."""

    def run(*arguments: object, status: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert main([*map(str, arguments)]) == status
        return capsys.readouterr()

    return run
