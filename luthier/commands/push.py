"""`luthier push`: a verified folder to a model hub."""

from typing import Annotated

import typer

from luthier.commands.screen import Screen

EXAMPLES = """\
$ luthier push last me/my-model
$ luthier push runs/quiet-otter/export/merged-bf16 me/my-model --public"""


def run(
    screen: Screen,
    source: Annotated[str, typer.Argument(metavar="RUN|FOLDER", help="A run, or an exported copy.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository; it is made where there is none.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public; else it is private.")] = False,
) -> None:
    """Send a model to a hub, whole, in one commit.

    The folder is verified first. The token comes from HF_TOKEN or the stored login, the hub from HF_ENDPOINT.
    """
    from luthier.verbs.push import push

    screen.finish(push(source, repository, private=not public, say=screen.say).to_dict(), lambda screen, result: screen.line(result["url"]))
