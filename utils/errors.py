"""The one error that is meant for the person at the keyboard."""

from __future__ import annotations


class CourseError(Exception):
    """Something that the user can put right; the message says what was wrong, with which file, and what to do."""
