"""The one error of this package."""


class DataError(Exception):
    """Data that is missing, broken or too small for what was asked.

    The message is one sentence for a person, and says what to do next.
    """
