"""Which tenant sent each request, from a column, a map or a function of the caller."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from carbjax._errors import TraceError
from carbjax._traces.format import TraceFormat
from carbjax._traces.source import open_source
from carbjax._traces.table import Table, listed, read_table
from carbjax._traces.values import labels

Tenant = str | os.PathLike[str] | Mapping[str, str] | Callable[[str], str]


def tenant_column(table: Table, form: TraceFormat, tenant: Tenant | None) -> str | None:
    """The column that names the tenants, where one does."""
    if tenant is None:
        return form.tenant if form.tenant in table.columns else None
    if isinstance(tenant, str) and tenant in table.columns:
        return tenant
    return None


def tenant_names(
    table: Table, column: str | None, tenant: Tenant | None, request_ids: Sequence[str]
) -> list[str] | None:
    """The tenant of each request, or None where nothing tells."""
    if column is not None:
        return labels(table, column)
    if tenant is None:
        return None
    if callable(tenant):
        return _answers(table, [tenant(name) for name in request_ids])
    if isinstance(tenant, Mapping):
        pairs = {str(name): str(value) for name, value in tenant.items()}
        return _mapped(table, pairs, request_ids, "the tenant map")
    if isinstance(tenant, str | os.PathLike):
        return _mapped(table, _map_file(table, tenant), request_ids, str(tenant))
    raise TraceError(
        f"`tenant` is {tenant!r}.",
        file=table.file,
        hint="Give a column, a map or a function from request_id to tenant, or a CSV of "
        "request_id, tenant_id.",
    )


def _answers(table: Table, answers: Sequence[object]) -> list[str]:
    names = ["" if answer is None else str(answer) for answer in answers]
    table.refuse(
        np.array([not name for name in names]),
        None,
        lambda _: "the `tenant` function names no tenant for this request.",
    )
    return names


def _mapped(
    table: Table, pairs: Mapping[str, str], request_ids: Sequence[str], where: str
) -> list[str]:
    table.refuse(
        np.array([request_id not in pairs for request_id in request_ids]),
        None,
        lambda index: f"request {request_ids[index]!r} has no tenant in {where}.",
        "Add it. A trace without request_id counts its requests from 0.",
    )
    return [pairs.get(request_id, "") for request_id in request_ids]


def _map_file(table: Table, path: str | os.PathLike[str]) -> dict[str, str]:
    if isinstance(path, str) and not pathlib.Path(path).exists():
        raise TraceError(
            f"`tenant` / `--tenants` is {path!r}, neither a column nor a file.",
            file=table.file,
            hint=f"The columns are {listed(table.columns)}.",
        )
    pairs = read_table(open_source(path, TraceError))
    pairs.require(("request_id", "tenant_id"))
    request_ids, tenants = labels(pairs, "request_id"), labels(pairs, "tenant_id")
    found: dict[str, str] = {}
    for index, (request_id, name) in enumerate(zip(request_ids, tenants, strict=True)):
        if found.setdefault(request_id, name) != name:
            raise pairs.fail(
                f"request {request_id!r} has the tenants {found[request_id]!r} and "
                f"{name!r}.",
                index,
                "tenant_id",
            )
    return found
