"""The exceptions of tf2; in the real package they come from tf2_py and are names of tf2_ros as well."""


class TransformException(Exception):
    """A transform cannot be had; base of all below."""


class ConnectivityException(TransformException):
    """Both frames are known but no chain of transforms joins them."""


class LookupException(TransformException):
    """A frame was never heard of."""


class ExtrapolationException(TransformException):
    """The time lies before or after the transforms that are kept."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or starts with a slash."""


class TimeoutException(TransformException):
    """A wait ended without a transform."""
