"""A profile with the story of its making, as one Parquet file."""

import os

import pyarrow.parquet as pq

from carbjax._errors import OutputError
from carbjax._profiles.profile import Profile


def write_profile(
    profile: Profile, metadata: dict[bytes, bytes], path: str | os.PathLike[str]
) -> None:
    """Nothing; the profile stands at `path`. Raises `OutputError`.

    Give a temporary name and rename it: a file that was half written is none.
    """
    profile.to_parquet(path)
    try:
        table = pq.read_table(path)
        known = table.schema.metadata or {}
        pq.write_table(table.replace_schema_metadata({**known, **metadata}), path)
    except OSError as cause:
        raise OutputError(
            f"the profile cannot be written ({cause}).",
            file=path,
            hint="Give a place where you may write, with room for it.",
        ) from None
