"""Say What You See: the library and the program behind the notebooks."""

__version__ = "0.2.0"
