"""Say What You See: the library and the program behind the notebooks."""

__version__ = "0.1.0"
