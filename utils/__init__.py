"""Say What You See: the modules behind the notebooks of the course."""

__version__ = "0.1.0"
