"""What the library's commands share: a bad argument is answered in one line, with exit status 2."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's, without the usage in front of an error; what the output's encoding lacks is escaped."""

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        """argparse's, before which the output is made to take every sign: a pipe of Windows has no Greek letters."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().parse_known_args(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """One line, exit status 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")


def at_least(least: int) -> Callable[[str], int]:
    """A whole number of at least so much, as a type for argparse.

    Examples
    --------
    >>> at_least(0)("3")
    3
    """

    def whole(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    whole.__name__ = "whole number"  # what argparse says was invalid
    return whole


def one_line(error: BaseException) -> str:
    """An exception of somebody else's code as one line, with the place where it was raised.

    Examples
    --------
    >>> one_line(ValueError("no such key"))
    'ValueError: no such key'
    """
    place, step = "", error.__traceback__
    while step is not None:
        place, step = f" ({step.tb_frame.f_code.co_filename}, line {step.tb_lineno})", step.tb_next
    if isinstance(error, SyntaxError):
        place = ""  # it names its own
    kind: Any = type(error)
    return f"{kind.__name__}: {' '.join(str(error).split())}{place}"
