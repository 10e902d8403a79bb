"""What is said where the budget ends before the accuracy is reached."""


def missed(error: float, accuracy: float | None) -> tuple[str, ...]:
    """A flag, unless no accuracy was asked for or the error is within it."""
    if accuracy is None or error <= accuracy:
        return ()
    return (f"the standard error is {error:.2%} of the mean share after the budget",)
