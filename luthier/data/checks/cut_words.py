"""D343: a marked place that begins or ends inside a word."""
from luthier.data.findings import Finding
from luthier.data.records import Record, Tagged
from luthier.data.words import spans_of, words_of


def check(record: Record) -> Finding | None:
    """A warning: in training the word is cut there, in a new text nobody cuts it, so such a place cannot be found exactly."""
    if type(record) is not Tagged:
        return None
    inside = {at for start, end in words_of(record.text) for at in range(start + 1, end)}
    for span in spans_of(record):
        if span.start in inside or span.end in inside:
            around = record.text[max(0, span.start - 15) : span.end + 15]
            return Finding("D343", "warning", f"`{record.text[span.start : span.end][:60]}` ({span.label}) cuts a word in `{around[:90]}`", field="spans", hint="mark whole words, if they are meant; else such places are found with a wrong edge")
    return None
