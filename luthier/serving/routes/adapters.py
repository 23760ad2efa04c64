"""`/v1/load_lora_adapter` and `/v1/unload_lora_adapter`, under vLLM's names: runs that were trained meanwhile answer without a restart.

A run is named, never a path: what a request says is looked up among the runs of this server and becomes no part of a file's name.
"""
import re

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from luthier.errors import LuthierError
from luthier.serving.door import needs
from luthier.serving.hosts import NAME
from luthier.serving.refusals import ApiError
from luthier.serving.routes.about import told
from luthier.serving.service import Service, service_of
from luthier.serving.shapes import LoadRequest, UnloadRequest, parsed

router = APIRouter(dependencies=[Depends(needs("admin"))])
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@router.post("/v1/load_lora_adapter")
async def load(request: Request) -> dict:
    """Make a run's model answer under a name; with `load_inplace` it takes over a name that answers already, and requests at hand finish on what answered before."""
    service, wanted = service_of(request), await parsed(request, LoadRequest)
    if "open" not in service.more:
        raise ApiError(400, "this server opens no runs while it runs", param="lora_path", code="not_behind_an_engine")
    if not RUN.fullmatch(wanted.lora_path) or ".." in wanted.lora_path:
        raise ApiError(400, "lora_path names a run of this server, and no path", param="lora_path", code="invalid_value")
    if not NAME.fullmatch(wanted.lora_name):
        raise ApiError(400, "lora_name must be letters, digits and . _ : @ / -", param="lora_name", code="invalid_value")
    return told(await run_in_threadpool(put, service, wanted.lora_path, wanted.lora_name, in_place=bool(wanted.load_inplace)))


def put(service: Service, run: str, name: str, *, in_place: bool):
    """Open a run in the engine's thread and give it the name; returns its model. Looked at there too: of two who want a name at once, one gets it."""

    def opened():
        there = service.registry.find(name)
        if there is not None and (not in_place or there.parent is None):
            raise ApiError(409, f"{name} answers already", param="lora_name", code="in_use")
        model = service.more["open"](run)
        model.id = name
        service.engine.put(model)
        return model

    try:
        return service.engine.call(opened).result(timeout=300)
    except LuthierError as error:
        raise ApiError(404 if error.code == "R152" else 400, f"the run {run} cannot be served ({error.code})", param="lora_path", code="not_served") from None


@router.post("/v1/unload_lora_adapter")
async def unload(request: Request) -> dict:
    """Take an adapter away; requests at hand finish on it, and none begins on it once this is answered."""
    service, wanted = service_of(request), await parsed(request, UnloadRequest)
    found = service.registry.find(wanted.lora_name)
    if found is None:
        raise ApiError(404, f"there is no model {wanted.lora_name[:80]!r}", param="lora_name", code="model_not_found")
    if found.parent is None:
        raise ApiError(409, f"{found.id} is a base; its adapters need it", param="lora_name", code="in_use")
    await service.drop(found)
    return {"id": found.id, "object": "model", "deleted": True}
