"""A fitted surrogate: numbers, and all that is known about them."""

import dataclasses as dc
import functools as ft
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from carbjax._errors import ProfileError
from carbjax._files import replacing
from carbjax._hardware.model import ModelShape
from carbjax._surrogate.parameter_files import (
    OperatorFit,
    fit_from_record,
    load_record,
)
from carbjax._surrogate.specialise import SpecialisedCost, specialise


@dc.dataclass(frozen=True, eq=False)
class Surrogate:
    """The fitted operators of one GPU, with sources, errors and box of validity.

    `record` is the content of a parameter file (docs/surrogate.md); `cj.fit_profile`
    makes one from measurements, `Surrogate.load` reads one, `Surrogate.shipped` gives
    those that come with carbjax.
    """

    record: Mapping[str, Any]

    @staticmethod
    @ft.cache
    def shipped(accelerator_name: str) -> "Surrogate":
        """The shipped surrogate of a GPU. Raises `ConfigError` where there is none."""
        return Surrogate(load_record(accelerator_name))

    @staticmethod
    def load(path: str | os.PathLike) -> "Surrogate":
        """The surrogate of a file that `save` wrote. Raises `ProfileError`."""
        hint = "Give a file that `carbjax fit --out` wrote."
        try:
            record = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            found = Surrogate(record)
            found.fit  # noqa: B018  a file with a part missing is refused here
        except OSError as error:
            raise ProfileError(
                f"cannot be read: {error.strerror}.", file=path, hint=hint
            ) from error
        except (ValueError, UnicodeDecodeError) as error:
            raise ProfileError(f"is no JSON: {error}.", file=path, hint=hint) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ProfileError(
                f"is no file of fitted operators: {error} is missing or wrong.",
                file=path,
                hint=hint,
            ) from error
        return found

    def save(self, path: str | os.PathLike) -> None:
        """Write `record` as JSON, whole or not at all. Raises `OutputError`."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.record, indent=1) + "\n", "utf-8")

    @ft.cached_property
    def fit(self) -> OperatorFit:
        """The fitted operators, before any model is chosen."""
        return fit_from_record(self.record)

    def specialise(self, model: ModelShape, tensor_parallel: int = 1) -> SpecialisedCost:
        """The cost of an iteration of `model`. Raises `ConfigError`."""
        return specialise(self.fit, model, tensor_parallel)

    @property
    def name(self) -> str:
        """The GPU's name."""
        return self.record["accelerator"]

    @property
    def errors(self) -> Mapping[str, Any]:
        """Errors in percent, by operator and by the rows that were held out."""
        return self.record["errors"]

    @property
    def validity(self) -> Mapping[str, Any]:
        """The box of what was measured: lowest and highest of each feature."""
        return self.record["validity"]
