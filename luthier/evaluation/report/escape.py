"""Text from data, models and run names made harmless: for HTML, for Markdown, and for the eye.

Control characters become visible signs and turning characters (bidirectional overrides) are spelled out, so that no cell can hide
or reorder what stands beside it.
"""
import html as library
import re

TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Everything that starts markup, an image, a link or a table cell in Markdown; the text then reads the same.
MARKDOWN = re.compile(r"([\\`*_\[\]#|~])")


def visible(text: object) -> str:
    """Text in which nothing is hidden; line ends and tabs stay."""
    text = str(text).replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    text = CONTROL.sub(lambda match: sign(ord(match[0])), text)
    return TURNING.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def sign(code: int) -> str:
    """The picture of a control character: ESC as one small sign, what has none as the replacement character."""
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def html(text: object) -> str:
    """Text for an HTML or SVG element or a quoted attribute."""
    return library.escape(visible(text), quote=True)


def markdown(text: object) -> str:
    """Text for one line of Markdown or a table cell: no markup, image, link or tag comes alive."""
    flat = " ".join(visible(text).split())
    escaped = MARKDOWN.sub(r"\\\1", flat.replace("&", "&amp;")).replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def fenced(text: object, language: str = "") -> str:
    """A Markdown code block with a fence that the text cannot close."""
    text = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def short(text: object, length: int) -> str:
    """At most `length` characters, with an ellipsis where something was left out."""
    text = str(text)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
