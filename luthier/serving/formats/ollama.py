"""A GGUF file and the Modelfile that makes Ollama ask it as it was trained: the chat template in Ollama's own language, and the stops.

The template is learned by asking the model's own about small conversations; it is written only if it then writes longer ones to the letter.
"""
from pathlib import Path
from typing import ClassVar

from luthier.errors import RecipeError
from luthier.preparation.templates import ChatTemplate, Request
from luthier.serving.formats.format import Source
from luthier.serving.formats.gguf import Gguf

WORDS = {"system": "Xsysx", "user": "Xusrx", "assistant": "Xassx"}


class Ollama(Gguf):
    precisions: ClassVar[tuple[str, ...]] = ("f16", "q8_0", "q4_0")

    def write(self, source: Source, folder: Path, precision: str) -> None:
        super().write(source, folder, precision)
        pieces = pieces_of(source)
        (folder / "Modelfile").write_text(modelfile(self.path(folder, precision).name, pieces, stops_of(source), source.language_model.context), encoding="utf-8")


def pieces_of(source: Source) -> dict[str, tuple[str, str]]:
    """What the template writes before and behind each role's content, and before an answer (`prompt`); RecipeError X110 where it writes more than that."""
    model = source.language_model
    if model.template is None:
        raise RecipeError(f"{source.name} has no chat template, so there is none to translate", code="X110", hint="export it as gguf")
    template = ChatTemplate(model.template, dict(model.tokenizer.special_tokens_map))
    try:
        def text(roles: list[str], prompt: bool) -> str:
            rendering = template.render([Request([{"role": role, "content": WORDS[role]} for role in roles], prompt=prompt)])[0]
            return "" if rendering.error else rendering.text

        turn, asked = text(["user"], False), text(["user"], True)
        both, more = text(["user", "assistant"], False), text(["user", "assistant", "user"], False)
        pieces = {"user": split(turn, "user"), "prompt": (asked.removeprefix(turn), "")}
        pieces["assistant"] = split(both.removeprefix(turn), "assistant")
        opening = common_lead(pieces["user"][0], more.removeprefix(both).partition(WORDS["user"])[0])
        pieces["opening"] = (opening, "")
        pieces["user"] = (pieces["user"][0].removeprefix(opening), pieces["user"][1])
        led = text(["system", "user"], False)
        if led and WORDS["system"] in led:
            pieces["system"] = split(led.removeprefix(opening).removesuffix(turn.removeprefix(opening)), "system")
        for roles in (["user"], ["user", "assistant", "user"], ["system", "user"] * ("system" in pieces), ["system", "user", "assistant", "user", "assistant", "user"] * ("system" in pieces)):
            if roles and written(pieces, roles) != text(roles, True):
                raise RecipeError(f"the chat template of {source.name} writes more than turns, so Ollama's language cannot say it", code="X110", hint="export it as gguf: llama.cpp reads the template itself")
        return pieces
    finally:
        template.close()


def split(text: str, role: str) -> tuple[str, str]:
    before, _, behind = text.partition(WORDS[role])
    return before, behind


def common_lead(first: str, later: str) -> str:
    """What stands before the first turn only."""
    return first.removesuffix(later) if later and first.endswith(later) else ""


def written(pieces: dict[str, tuple[str, str]], roles: list[str]) -> str:
    """What the translated template writes."""
    return pieces["opening"][0] + "".join(pieces[role][0] + WORDS[role] + pieces[role][1] for role in roles) + pieces["prompt"][0]


def stops_of(source: Source) -> list[str]:
    model = source.language_model
    return [model.tokenizer.convert_ids_to_tokens(token) for token in sorted(model.stop_tokens)]


def modelfile(file: str, pieces: dict[str, tuple[str, str]], stops: list[str], context: int) -> str:
    """The text of a Modelfile."""
    def quoted(text: str) -> str:
        return text.replace("{{", "{{ \"{{\" }}")

    turns = "{{ range .Messages }}"
    for number, role in enumerate(role for role in ("system", "user", "assistant") if role in pieces):
        before, behind = pieces[role]
        turns += f'{{{{ {"if" if number == 0 else "else if"} eq .Role "{role}" }}}}{quoted(before)}{{{{ .Content }}}}{quoted(behind)}'
    turns += "{{ end }}{{ end }}"
    lines = [f"FROM ./{file}", f'TEMPLATE """{quoted(pieces["opening"][0])}{turns}{quoted(pieces["prompt"][0])}"""', f"PARAMETER num_ctx {context}"]
    return "\n".join([*lines, *(f'PARAMETER stop "{stop}"' for stop in stops)]) + "\n"
