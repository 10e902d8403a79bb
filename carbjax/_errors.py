"""Typed errors that say what is wrong, where, and what to do about it."""


class CarbjaxError(Exception):
    """Base class of every error that carbjax raises on purpose."""


class InputError(CarbjaxError, ValueError):
    """Something given to carbjax cannot be used.

    `problem` says what is wrong, `hint` what to do. `file`, `row` (1 is the first
    line of the file, the header included) and `column` say where, as far as known.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        row: int | None = None,
        column: str | None = None,
        hint: str | None = None,
    ):
        self.problem = problem
        self.file = None if file is None else str(file)
        self.row = row
        self.column = column
        self.hint = hint
        place = ", ".join(
            part
            for part in (
                self.file,
                None if row is None else f"row {row}",
                None if column is None else f"column {column!r}",
            )
            if part
        )
        message = f"{place}: {problem}" if place else problem
        super().__init__(f"{message} {hint}" if hint else message)


class TraceError(InputError):
    """A request trace cannot be read."""


class IntensityError(InputError):
    """A carbon intensity series cannot be read, or does not cover the time asked for."""


class ProfileError(InputError):
    """An operator profile cannot be read or used for a fit."""


class ConfigError(InputError):
    """A configuration, system or command line setting cannot be used."""


class WorkloadError(InputError):
    """A workload is malformed, or cannot be served by the system."""


class FetchError(InputError):
    """A public data set cannot be had, or is not what it should be."""


class OutputError(InputError):
    """A result cannot be written where it was asked for."""


class ExtrapolationWarning(UserWarning):
    """Something is asked of a surrogate that its fit has not seen: straight lines."""
