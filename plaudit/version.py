"""The version, in a module of its own so that nothing imports the package's root for it."""

__version__ = "0.1.0"
