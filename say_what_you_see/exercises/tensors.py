"""Another way to `observe`."""

from say_what_you_see.exercises.observe import as_numpy, draw_weights

__all__ = ["as_numpy", "draw_weights"]
