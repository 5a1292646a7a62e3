"""The errors of the border: a message that cannot be used, a service that does not answer. Free of ROS imports."""

from __future__ import annotations


class ConversionError(ValueError):
    """A message cannot be converted; the text names the topic, what was expected and what came."""


class ServiceError(RuntimeError):
    """A service is not there, did not answer in time or refused; the text names it."""
