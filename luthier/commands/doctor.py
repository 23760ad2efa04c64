"""`luthier doctor`: what this machine has, and whether it is enough."""

from rich.table import Table
from rich.text import Text

from luthier.commands.findings import finding_lines
from luthier.commands.progress import size
from luthier.commands.screen import Screen

EXAMPLES = "$ luthier doctor"


def run(screen: Screen) -> int:
    """Say what this machine has, and whether it is enough."""
    from luthier.verbs.doctor import doctor

    result = doctor().to_dict()
    screen.finish(result, draw)
    return 0 if result["ok"] else 3


def draw(screen: Screen, result: dict) -> None:
    device, cpu, memory, disk, hub, spruce = (result[name] for name in ("device", "cpu", "memory", "disk", "hub", "spruce"))
    extras = [name for name in ("amx", "bf16") if cpu[name]]
    own = f", {size(device['memory'])}" if device.get("memory") else ""
    rows = {
        "device": f"{device['kind']} · {device['name']}{own}",
        "cores": " · ".join([str(cpu["cores"]), *extras]),
        "memory": f"{size(memory['available'])} free of {size(memory['total'])}",
        "disk": f"{size(disk['free'])} free at {disk['folder']}",
        "spruce": f"present, {size(spruce['bytes'])}" if spruce["present"] else f"incomplete: {', '.join(spruce['missing'])} missing",
        "hub": ("token found (" + hub["token"] + ")" if hub["token"] else "no token, none is needed") + (" · offline" if hub["offline"] else ""),
        "versions": " · ".join([f"luthier {result['versions']['luthier']}", f"python {result['versions']['python']}"]),
        "": " · ".join(f"{name} {version or 'missing'}" for name, version in result["packages"].items()),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="faint", no_wrap=True)
    table.add_column()
    for name, words in rows.items():
        table.add_row(name, Text(words))
    screen.draw(table)
    screen.line("")
    for problem in result["problems"]:
        for line in finding_lines(problem):
            screen.draw(line)
    screen.line((f"{screen.tick} ", "good") if result["ok"] else ("", ""), (result["verdict"], "head" if result["ok"] else "bad"))
    if result["ok"]:
        screen.next("luthier demo", "luthier init FILE")
