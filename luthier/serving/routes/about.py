"""What the server says of itself: models, probes, version, figures."""
import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

import luthier
from luthier.serving.door import Visitor
from luthier.serving.hosts import Model
from luthier.serving.refusals import ApiError
from luthier.serving.service import may_see, service_of, visitor_of

router = APIRouter()
STARTED = int(time.time())


def told(model: Model) -> dict:
    """A model in OpenAI's shape, with vLLM's parent and root, and what it does."""
    known = {name: model.facts[name] for name in ("task", "method", "run", "labels") if model.facts.get(name) is not None}
    if model.abstention is not None:
        known["abstains"] = vars(model.abstention)
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.facts.get("owner") or "luthier", "parent": model.parent, "root": model.id,
            "max_model_len": model.view.context, **known}


@router.get("/v1/models")
async def models(request: Request) -> dict:
    service, visitor = service_of(request), visitor_of(request)
    return {"object": "list", "data": [told(model) for model in service.registry.models.values() if may_see(visitor, model)]}


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> dict:
    return told(service_of(request).model(name, visitor_of(request)))


@router.delete("/v1/models/{name:path}")
async def remove(request: Request, name: str) -> dict:
    """Take an adapter away; requests at hand finish on it. A base stays while it has adapters."""
    service, visitor = service_of(request), visitor_of(request)
    found = service.model(name, visitor)
    if not may_remove(visitor, found):
        raise ApiError(403, "this key may not remove that model", code="missing_scope")
    if found.parent is None:
        raise ApiError(409, f"{found.id} is a base; its adapters need it", param="model", code="in_use")
    await service.drop(found)
    if "tuning" in service.more and found.facts.get("run"):
        service.more["tuning"].store.move(found.facts["run"], ("succeeded",), removed=1)
    return {"id": found.id, "object": "model", "deleted": True}


def may_remove(visitor: Visitor, model: Model) -> bool:
    return "admin" in visitor.scopes or model.facts.get("owner") == visitor.name


async def live(request: Request) -> JSONResponse:
    """Whether the engine runs; without a key, for whoever restarts it."""
    service = service_of(request)
    alive = service.engine.alive and not any(far.engine.failed for far in service.far)
    return JSONResponse({"live": alive}, 200 if alive else 503)


async def ready(request: Request) -> JSONResponse:
    """Whether requests may come; without a key, for whoever sends them."""
    service = service_of(request)
    good = service.ready and service.engine.alive and not service.engine.draining and all(far.engine.up for far in service.far)
    return JSONResponse({"ready": good}, 200 if good else 503)


router.add_api_route("/health/live", live, methods=["GET"])
router.add_api_route("/health/ready", ready, methods=["GET"])


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    return await ready(request)


@router.get("/version")
async def version() -> dict:
    return {"version": luthier.__version__}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    service = service_of(request)
    return Response(service.figures.page(service.engine, service.more.get("metrics_prefix", "luthier_")), media_type="text/plain; version=0.0.4")
