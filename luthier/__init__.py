"""Luthier: a general language model and a person's own data become a tested expert."""

__version__ = "0.1.0"
