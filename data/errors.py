"""The errors that a person can put right."""


class UserError(Exception):
    """Something that a person can put right: the message is one sentence that says what to do next.

    Attributes:
        advice: what to do, where the message alone does not say it.
    """

    advice = ""

    @property
    def sentence(self) -> str:
        """The message with the advice."""
        return f"{self}: {self.advice}" if self.advice else str(self)


class DataError(UserError):
    """Data that is missing, broken or too small for what was asked."""
