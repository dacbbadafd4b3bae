"""Another name for `Properties`."""

from say_what_you_see.exercises.observe import Properties as Facts

__all__ = ["Facts"]
