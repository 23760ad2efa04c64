"""The chat page at `/`: one small page of our own, its script and its style; nothing from elsewhere."""
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

router = APIRouter()
FOLDER = Path(__file__).parents[1] / "page"


def file(name: str, kind: str):
    async def answer() -> FileResponse:
        return FileResponse(FOLDER / name, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer


for _path, _name, _kind in (("/", "index.html", "text/html"), ("/page/chat.js", "chat.js", "text/javascript"), ("/page/chat.css", "chat.css", "text/css")):
    router.add_api_route(_path, file(_name, _kind), methods=["GET"])


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Browsers ask for one; there is none."""
    return Response(status_code=204)
