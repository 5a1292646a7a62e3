"""The one error of the border: a message that cannot be used."""

from __future__ import annotations


class ConversionError(ValueError):
    """A message cannot be converted; the text names the topic, what was expected and what came."""
