"""A small trace made by `make.py`, for trying carbjax without any data."""

import pathlib

SAMPLE_TRACE = pathlib.Path(__file__).with_name("sample.csv")


def is_sample(path: str) -> bool:
    """Whether `path` asks for the trace that ships, rather than for a file of that name."""
    return path == "sample" and not pathlib.Path(path).exists()


def trace_path(path: str) -> str:
    """The file that `path` means."""
    return str(SAMPLE_TRACE) if is_sample(path) else path
