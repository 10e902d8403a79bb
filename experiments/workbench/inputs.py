"""Where measurements and traces lie."""

import os
import pathlib

import carbjax as cj

CONVERSATIONS = pathlib.Path("azure_llm_2023", "AzureLLMInferenceTrace_conv.csv")


def data_path(path: pathlib.Path) -> pathlib.Path:
    """Where a file should lie: in CARBJAX_DATA, else beside the checkout."""
    beside = pathlib.Path(__file__).parents[3] / "shared" / "data"
    return pathlib.Path(os.environ.get("CARBJAX_DATA") or beside) / path


def conversations() -> cj.Workload:
    """The Azure conversation trace of 2023."""
    return cj.read_trace(data_path(CONVERSATIONS), tz="UTC")
