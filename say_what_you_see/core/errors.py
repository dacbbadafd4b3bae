"""The one error that is meant for the person at the keyboard.

Code that reads users' files, settings or options raises it when these are missing, damaged or unsuitable. Docstrings
mention it only where that adds to the message.
"""

from say_what_you_see.core.text import message


class CourseError(Exception):
    """Something that the user can put right; the message says what was wrong, with which file, and what to do."""

    def __str__(self) -> str:
        """The message, safe for a terminal whatever a file put into it."""
        return message(super().__str__())
