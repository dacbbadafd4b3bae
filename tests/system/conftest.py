"""What the tests of commands have in common."""

import pytest

from say_what_you_see.commands.main import main


@pytest.fixture
def command(course_environ, capsys):
    """Runs a command on the finished course, checks its exit status, and returns what it printed and its errors."""

    def run(*arguments: object, status: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert main([*map(str, arguments)]) == status
        return capsys.readouterr()

    return run
