"""Regenerate the shipped parameter files from the shared measurements.

    CARBJAX_DATA=path/to/data python -m experiments.fit_systems [--out FOLDER] [GPU ...]

The measurements and their licences are described in the data folder's README; the
results go to `carbjax/_surrogate/parameters/`.
"""

import argparse
import datetime as dt
import json
import os
import pathlib

import jax

jax.config.update("jax_enable_x64", True)

from carbjax._fitting.system_fit import fit_system, systems  # noqa: E402

_OUT = pathlib.Path(__file__).parents[1] / "carbjax" / "_surrogate" / "parameters"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gpus", nargs="*", default=sorted(systems()))
    parser.add_argument("--out", type=pathlib.Path, default=_OUT)
    parser.add_argument("--date", default=dt.date.today().isoformat())
    arguments = parser.parse_args()
    data = pathlib.Path(os.environ["CARBJAX_DATA"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.gpus:
        record = fit_system(name, data) | {"fitted_on": arguments.date}
        path = arguments.out / f"{name}.json"
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        for operator, error in record["errors"].items():
            print(f"{name:10s} {operator:28s} {error}")


if __name__ == "__main__":
    main()
