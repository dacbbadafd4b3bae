"""The one error that is meant for the person at the keyboard.

Whatever reads files, settings or options of users raises it where these are missing, damaged or do not fit. Docstrings
name it only where that says more than the message.
"""

from say_what_you_see.core.text import message


class CourseError(Exception):
    """Something that the user can put right; the message says what was wrong, with which file, and what to do."""

    def __str__(self) -> str:
        """The message, safe for a terminal whatever a file put into it."""
        return message(super().__str__())
