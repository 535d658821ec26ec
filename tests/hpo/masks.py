"""What of a command's words is another every time, and what differs between processors."""

import re


def any_making(text: str) -> str:
    """A configuration without when it was exported, and by which version."""
    return re.sub(r'(exported|hpo_version) = ".*"', r'\1 = "…"', text)


def five_digits(text: str) -> str:
    """Longer numbers cut to the digits that are the same on every processor."""
    return re.sub(r"\d+\.\d{5,}(e-?\d+)?", lambda found: f"{float(found[0]):.5g}", text)
