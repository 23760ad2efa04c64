"""What the columns of a file mean: guessed from names and values, said in one sentence, overruled by `data.map`.

A style is one way in which people write down the same thing; `STYLES` lists them in the order in which they are tried.
"""
import difflib
import functools
import math
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field

from luthier.data import chats, exports, feedback, labels, pairs, tagging
from luthier.data.findings import Finding
from luthier.data.records import Conversation, Labelled, MultiLabelled, Origin, Pair, Preference, Prompt, Rated, Record, Scored, Tagged, Text
from luthier.data.sources.rows import Row
from luthier.errors import DataError, RecipeError

TASKS = {"chat": Conversation, "classification": Labelled, "causal_lm": Text, "token_classification": Tagged, "seq2seq": Pair, "regression": Scored}
"""The task that a record type serves when the recipe names none."""
SETTINGS: dict[type, tuple[str, dict]] = {MultiLabelled: ("classification", {"many": True})}
"""Records that a task takes only with certain settings: the task and these settings."""
LEARNED_BY = {Preference: "dpo", Rated: "kto", Prompt: "grpo"}
"""The objective that learns from a record type of people's judgements when the recipe names none; the task is then chat."""

NAMES = {  # role -> column names, best first; compared in lower case
    "messages": "messages conversations conversation dialogue dialog chat".split(),
    "mapping": ["mapping"],
    "last": ["current_node"],
    "chat_messages": ["chat_messages"],
    "turns": "turns dialogue dialog conversation utterances".split(),
    "tools": "tools functions".split(),
    "system": "system system_prompt".split(),
    "history": ["history"],
    "instruction": ["instruction"],
    "prompt": "prompt question query user user_message input instruction request human source problem context".split(),
    "completion": "completion response answer assistant assistant_message output reply bot solution target chosen_response".split(),
    "chosen": "chosen preferred preferred_output chosen_response response_chosen winner better".split(),
    "rejected": "rejected non_preferred_output dispreferred rejected_response response_rejected loser worse".split(),
    "rating": "label rating good thumb thumbs feedback vote desirable kto_tag".split(),
    "reference": "reference answer solution ground_truth expected target completion response output".split(),
    "label": "label_text label category class intent target sentiment topic queue tag emotion rating stars type department label_name labels y".split(),
    "first": "text text_a text1 sentence1 sentence_1 sentence_a premise question1 query source_sentence".split(),
    "pair": "text_pair text_b text2 sentence2 sentence_2 sentence_b hypothesis question2 passage target_sentence".split(),
    "labels": "labels label genres categories tags topics classes".split(),
    "value": "score value rating stars similarity_score similarity relevance price label target y".split(),
    "source": "source document article dialogue src original_text original body text input content passage story report".split(),
    "target": "target summary highlights translation tgt abstract reference_summary headline simplified output".split(),
    "translation": ["translation"],
    "tokens": "tokens words token word".split(),
    "tags": "ner_tags tags labels iob iob_tags entity_tags slots upos pos_tags".split(),
    "spans": "spans entities entity_spans annotations ents".split(),
    "text": "text full_text sentence review ticket_text ticket content body message comment utterance document query question title description tweet post email email_text sms input prompt x".split(),
}
NOT_HERE = {
    ("chosen", "rejected"): "preference pairs",
}
MOST_LABELS = 500
LONGEST_LABEL = 60
SAMPLE = 500


@dataclass(frozen=True)
class Mapping:
    """How rows become records."""

    task: str
    record: type
    columns: dict[str, str]
    """Role -> column."""
    style: str
    sentence: str
    group: str | None = None
    """The column of `data.group`."""
    weight: str | None = None
    """The column of `data.row_weight`."""
    strict: bool = False
    """Whether the user named the columns."""
    began: str = ""
    """Where the first row of the file stands."""
    names: tuple[str, ...] = ()
    """What class numbers mean, in their order, where the user said."""

    @functools.cached_property
    def looks_inside(self) -> bool:
        """Whether a column may name a field inside an object."""
        return any("." in column for column in self.columns.values())

    @property
    def settings(self) -> dict:
        """Settings without which the task does not take these records."""
        return SETTINGS[self.record][1] if self.record in SETTINGS else {}

    def used(self) -> set[str]:
        return {*self.columns.values(), *filter(None, (self.group, self.weight))}

    def to_dict(self) -> dict:
        return {"task": self.task, "style": self.style, "columns": self.columns, "group": self.group, "sentence": self.sentence}


@dataclass(frozen=True)
class Style:
    """One way of writing records down."""

    record: type
    required: tuple[str, ...]
    """Roles without which it cannot be read."""
    optional: tuple[str, ...]
    words: str
    """How a sentence calls it."""
    make: Callable[[dict, dict[str, str]], "tuple | Bad"]
    """Row values and role -> column to the record's own fields, or what is wrong."""
    fits: Callable[[list], bool] = field(default=lambda values: True)
    """Whether the values of the first required column look like it."""
    told: Callable[[dict[str, str], list], bool] = field(default=lambda columns, values: True)
    """Whether the names of the columns and the values of the first one say so by themselves, where no task is named."""


Bad = chats.Bad


# ---- making records -----------------------------------------------------------------------------
def _text(values: dict, columns: dict[str, str]) -> tuple | Bad:
    value = values.get(columns["text"])
    return (value,) if type(value) is str else chats.wrong(value, columns["text"])


def _labelled(values: dict, columns: dict[str, str]) -> tuple | Bad:
    text, label = values.get(columns["text"]), labels.one(values.get(columns["label"]), columns["label"])
    if type(text) is not str:
        return chats.wrong(text, columns["text"])
    return label if type(label) is Bad else (text, label)


STYLES: dict[str, Style] = {
    "tokens and tags": Style(Tagged, ("tags", "tokens"), (), "words with the tags of spans", tagging.from_tags, tagging.look_like_tags),
    "tokens and classes": Style(Tagged, ("tags", "tokens"), (), "words with a class each", tagging.from_classes, tagging.look_like_classes),
    "text and spans": Style(Tagged, ("spans", "text"), (), "texts with places marked in them", tagging.from_spans, tagging.look_like_spans),
    "transcripts": Style(Preference, ("chosen", "rejected"), (), "pairs of transcripts, the better one first", feedback.from_transcripts, feedback.look_like_transcripts),
    "OpenAI pairs": Style(Preference, ("input", "chosen", "rejected"), (), "OpenAI's pairs of outputs", feedback.from_openai, feedback.look_like_input),
    "Alpaca pairs": Style(Preference, ("chosen", "rejected", "instruction"), ("input", "system"), "Alpaca instructions with two answers", feedback.from_chosen, feedback.look_like_answers),
    "pairs": Style(Preference, ("chosen", "rejected"), ("prompt", "system"), "pairs of answers, chosen and rejected", feedback.from_chosen, feedback.look_like_answers),
    "ratings": Style(Rated, ("rating", "prompt", "completion"), ("system",), "answers with a rating", feedback.from_rated, feedback.look_like_ratings),
    "rated messages": Style(Rated, ("rating", "messages"), (), "talks with a rating", feedback.from_rated, feedback.look_like_ratings),
    "translation": Style(Pair, ("translation",), (), "translations, from the first language of each to the second", pairs.from_translation, pairs.look_like_translations),
    "source and target": Style(Pair, ("target", "source"), (), "texts and what they should become", pairs.from_pair, chats.look_like_text, pairs.told_by_names),
    "ChatGPT export": Style(Conversation, ("mapping",), ("last",), "conversations as ChatGPT exports them", exports.from_chatgpt, exports.look_like_chatgpt),
    "Claude export": Style(Conversation, ("chat_messages",), (), "conversations as Claude exports them", exports.from_claude, exports.look_like_claude),
    "messages": Style(Conversation, ("messages",), ("tools",), "chat messages with role and content", chats.from_messages, chats.look_like_messages),
    "sharegpt": Style(Conversation, ("messages",), ("tools", "system"), "ShareGPT turns (from, value)", chats.from_sharegpt, chats.look_like_sharegpt),
    "turns": Style(Conversation, ("turns",), ("system",), "turns that alternate between user and assistant", chats.from_turns, chats.look_like_turns),
    "alpaca": Style(Conversation, ("instruction", "completion"), ("input", "system", "history"), "Alpaca instructions", chats.from_alpaca, chats.look_like_text),
    "prompt and completion": Style(Conversation, ("prompt", "completion"), ("system",), "prompts and completions", chats.from_pair, chats.look_like_prompts),
    "prompts and references": Style(Prompt, ("prompt", "reference"), ("system",), "prompts with reference answers", feedback.from_prompt, chats.look_like_prompts, feedback.told_by_reference),
    "two texts and a score": Style(Scored, ("value", "first", "pair"), (), "pairs of texts with a number", labels.scored_pair, labels.look_like_numbers, labels.never),
    "two texts and a label": Style(Labelled, ("first", "pair", "label"), (), "pairs of texts with a label", labels.labelled_pair, chats.look_like_text, labels.told_by_both),
    "two texts and labels": Style(MultiLabelled, ("labels", "first", "pair"), (), "pairs of texts with several labels", labels.several_pair, labels.look_like_several, labels.never),
    "text and labels": Style(MultiLabelled, ("labels", "text"), (), "texts with several labels", labels.several, labels.look_like_several, labels.told_by_lists),
    "text and score": Style(Scored, ("value", "text"), (), "texts with a number", labels.scored, labels.look_like_numbers, labels.never),
    "text and label": Style(Labelled, ("text", "label"), (), "texts with a label", _labelled, chats.look_like_text),
    "text": Style(Text, ("text",), (), "plain texts", _text, chats.look_like_text),
    "prompts": Style(Prompt, ("prompt",), ("reference", "system"), "prompts", feedback.from_prompt, chats.look_like_prompts),
    "prompting messages": Style(Prompt, ("messages",), ("reference",), "talks that wait for an answer", feedback.from_prompt, chats.look_like_messages),
}
ALIASES = {"question": "prompt", "answer": "completion", "response": "completion", "output": "completion"}
"""Words that `data.map` takes for a role."""


def inner(values: dict, columns: dict[str, str]) -> dict:
    """The row with the fields that columns such as `translation.de` name inside an object."""
    found = {}
    for column in columns.values():
        head, dot, name = column.partition(".")
        if dot and column not in values and isinstance(values.get(head), dict):
            found[column] = values[head].get(name)
    return {**values, **found} if found else values


ALIKE = ("messages", "sharegpt", "tokens and tags", "tokens and classes")
"""Styles with the same roles: only the values tell them apart."""


def convert(row: Row, mapping: Mapping) -> Record | Finding:
    """The record of a row, or what is wrong with it (D110-D119), with its field."""
    values = tagging.named(row.values, mapping.columns["tags"], mapping.names) if mapping.names and "tags" in mapping.columns else row.values
    made = STYLES[mapping.style].make(inner(values, mapping.columns) if mapping.looks_inside else values, mapping.columns)
    if type(made) is Bad:
        return _finding(made, row, mapping)
    group = None
    if mapping.group is not None:
        group = row.values.get(mapping.group)
        if group is None or group == "":
            return _finding(Bad("D115", f"no value in the group column `{mapping.group}`", mapping.group, "fill it, or leave the row out"), row, mapping)
        group = str(group)
    weight = weight_of(row.values, mapping.weight) if mapping.weight is not None else 1.0
    if type(weight) is Bad:
        return _finding(weight, row, mapping)
    made, pair = (made[:2], {"pair": made[2]}) if "pair" in mapping.columns else (made, {})
    return mapping.record(*made, **pair, origin=Origin(row.file, row.line, row.number), group=group, weight=weight)


def weight_of(values: dict, column: str) -> "float | Bad":
    """How much a row counts: a number above 0."""
    value = values.get(column)
    if value is None or value == "":
        return Bad("D115", f"no value in the weight column `{column}`", column, "fill it, or leave the row out")
    try:
        weight = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 < weight < math.inf:
        return Bad("D116", f"the weight `{str(value)[:40]}` is no number above 0", column, "write a number such as 1 or 0.5; leave rows out that should not count")
    return weight


def _finding(bad: Bad, row: Row, mapping: Mapping) -> Finding:
    """The finding of a row that cannot become a record; a row written in another style than the others is told as such."""
    if bad.code == "D115" and not mapping.strict and not mapping.used() & row.values.keys():
        if other := next((name for name, style in STYLES.items() if name != mapping.style and _columns_for(style, list(row.values), [row.values])), ""):
            bad = Bad("D114", f"this row holds {STYLES[other].words} ({', '.join(list(row.values)[:6])}); the file began, on {mapping.began}, with {STYLES[mapping.style].words}", bad.field, "keep one kind of row in a file")
    return Finding(bad.code, "error", bad.message, row.file, row.line, None, row.byte_offset, bad.field, [row.number], hint=bad.hint)


# ---- guessing -----------------------------------------------------------------------------------
def guess(rows: Sequence[Row], path: str, *, task: str | None = None, record: type | None = None) -> Mapping:
    """The meaning of a file's columns, from its first rows.

    `record` (or the record of `task`) narrows the guess to what the recipe needs. Raises DataError D113 where the columns cannot be understood.
    """
    record = record or TASKS.get(task or "")
    sample = [row.values for row in rows[:SAMPLE]]
    names = _names(sample)
    for style_name, style in STYLES.items():
        if record in (None, style.record) and (columns := _columns_for(style, names, sample)) and (record is style.record or style.told(columns, [row.get(columns[style.required[0]]) for row in sample[:50]])):
            if style.record is Text and record is None and (shaped := _labelled_by_shape(names, sample)):
                return _mapping("text and label", shaped, path, task, names, shaped=True)
            return _mapping(style_name, columns, path, task, names)
    if not _other_kind(names):
        for style_name, columns in _by_shape(names, sample, record):
            return _mapping(style_name, columns, path, task, names, shaped=True)
    raise _not_understood(path, names, sample, record)


def _names(sample: list[dict]) -> list[str]:
    """The columns of the first rows, in the order in which they appear."""
    return list(dict.fromkeys(name for values in sample for name in values))


def _columns_for(style: Style, names: list[str], sample: list[dict]) -> dict[str, str] | None:
    """Role -> column by name, each column once; None where a required role has none or its values look otherwise."""
    lower = {name.lower().strip(): name for name in reversed(names)}
    columns: dict[str, str] = {}
    # the answer is looked for before the question: `input` may be either
    for role in sorted(style.required, key=lambda role: role in ("prompt", "text", "first")) + list(style.optional):
        wanted = ["input"] if role == "input" else NAMES[role]
        if role == "completion" and style.make is chats.from_pair:
            wanted = _answers_beside(lower, wanted)
        found = next((lower[name] for name in wanted if name in lower and lower[name] not in columns.values()), None)
        if found is None and role == "text":
            found = next((name for low, name in lower.items() if low.endswith(("_text", " text", "text_")) and name not in columns.values()), None)
        if found is None and role in style.required:
            return None
        if found is not None:
            columns[role] = found
    if "label" in columns and not _short(columns["label"], sample):
        return None
    first = columns[style.required[0]]
    values = [row[first] for row in sample if row.get(first) is not None][:50]
    return {role: columns[role] for role in (*style.required, *style.optional) if role in columns} if style.fits(values) else None


def _short(column: str, sample: list[dict]) -> bool:
    """Whether the values of a column are as short as labels are."""
    lengths = [len(str(row[column])) for row in sample if row.get(column) is not None]
    return not lengths or sum(lengths) / len(lengths) <= LONGEST_LABEL


def _answers_beside(lower: dict[str, str], wanted: list[str]) -> list[str]:
    """`target` and `source` are answers and prompts only beside each other: `text, target` is a label."""
    return wanted if "source" in lower else [name for name in wanted if name != "target"]


def _mapping(style_name: str, columns: dict[str, str], path: str, task: str | None, names: list[str], *, shaped: bool = False) -> Mapping:
    style = STYLES[style_name]
    known = SETTINGS[style.record][0] if style.record in SETTINGS else next((name for name, kind in TASKS.items() if kind is style.record), "chat")
    task = task or known
    arrows = " · ".join(f"{role} ← {column}" for role, column in columns.items())
    unused = [name for name in names if name not in columns.values()]
    tail = f"; {'for graders' if style.record is Prompt else 'not used'}: {', '.join(unused[:8])}{' …' if len(unused) > 8 else ''}" if unused else ""
    how = " (by the look of the values)" if shaped else ""
    return Mapping(task, style.record, columns, style_name, f"{path} is read as {style.words}{how}: {arrows}{tail}")


def label_left_out(mapping: Mapping, rows: Sequence[Row], path: str) -> Finding | None:
    """A warning where a column by name and look is the label of texts that are learned as plain text."""
    if mapping.record is not Text:
        return None
    sample = [row.values for row in rows[:SAMPLE]]
    named = set(NAMES["label"])
    labels = [look for look in _looks(_names(sample), sample) if look.like_label and look.name.lower() in named and look.name not in mapping.used()]
    if not labels:
        return None
    values = sorted({str(row[labels[0].name]) for row in sample if row.get(labels[0].name) not in (None, "")})
    shown = ", ".join(values[:4]) + (" ..." if values[4:] else "")
    return Finding(
        "D136", "warning", f"{path} has labels in the column `{labels[0].name}` ({shown}), and plain texts are learned: nothing is learned of the labels", path, field=labels[0].name,
        hint="to tell the labels, set task: classification; a language model's own labels are the tokens of the text, never this column",
    )


# ---- guessing by the look of the values -------------------------------------------------------------
@dataclass
class _Look:
    """What the values of a column look like."""

    name: str
    distinct: int
    filled: int
    mean_length: float
    longest: int

    @property
    def like_label(self) -> bool:
        return self.filled >= 4 and 2 <= self.distinct <= min(MOST_LABELS, self.filled / 2) and self.longest <= LONGEST_LABEL

    @property
    def like_text(self) -> bool:
        return self.filled > 0 and self.mean_length >= 8 and self.distinct > self.filled / 3


def _looks(names: list[str], sample: list[dict]) -> list[_Look]:
    looks = []
    for name in names:
        values = [row[name] for row in sample if row.get(name) not in (None, "")]
        if values and all(isinstance(value, (str, int, float, bool)) for value in values):
            texts = [str(value) for value in values]
            looks.append(_Look(name, len(set(texts)), len(texts), sum(map(len, texts)) / len(texts), max(map(len, texts))))
    return looks


def _labelled_by_shape(names: list[str], sample: list[dict]) -> dict[str, str] | None:
    """A label column beside a text column: few distinct short values beside many long ones; the name breaks ties."""
    looks = _looks(names, sample)
    labels = [look for look in looks if look.like_label]
    texts = [look for look in looks if look.like_text and look not in labels]
    if not texts or not labels:
        return None

    def likely(look: _Look) -> tuple:
        low = look.name.lower()
        dull = low in ("id", "lang", "language", "source", "split", "date", "created", "year", "user", "author", "channel", "country") or low.endswith(("_id", "_at", "_date"))
        return (low in NAMES["label"], not dull, look.distinct)

    text = max(texts, key=lambda look: (look.name.lower() in NAMES["text"], look.mean_length))
    return {"text": text.name, "label": max(labels, key=likely).name}


def _by_shape(names: list[str], sample: list[dict], record: type | None):
    """Guesses from values alone, best first."""
    if record in (None, Labelled) and (columns := _labelled_by_shape(names, sample)):
        yield "text and label", columns
    texts = [look for look in _looks(names, sample) if look.like_text]
    if record is Pair and len(texts) == 2:
        yield "source and target", {"target": texts[1].name, "source": texts[0].name}
    if record in (None, Conversation) and len(texts) == 2:
        yield "prompt and completion", {"prompt": texts[0].name, "completion": texts[1].name}
    if record in (None, Text) and texts and (record is Text or len(texts) == 1):
        yield "text", {"text": max(texts, key=lambda look: look.mean_length).name}


def _other_kind(names: list[str]) -> str:
    """Data of a kind that no task here takes, told by its columns."""
    return next((words for needed, words in NOT_HERE.items() if all(name in names for name in needed)), "")


def _not_understood(path: str, names: list[str], sample: list[dict], record: type | None) -> DataError:
    listed = ", ".join(names[:20]) or "none"
    kind = _other_kind(names)
    words = {Conversation: "conversations", Labelled: "a text and a label", Text: "texts", Tagged: "words and their tags, or a text and the spans in it", Pair: "a source and a target", MultiLabelled: "a text and its labels", Scored: "a text and a number", **feedback.KINDS}
    needs = words.get(record, "")
    what = f"{path}: the columns ({listed}) look like {kind}, which no task here takes" if kind else f"{path}: the columns ({listed}) do not say what is what" + (f"; the task needs {needs}" if needs else "")
    ways = {
        Conversation: "{prompt: COLUMN, completion: COLUMN} or {messages: COLUMN}", Text: "{text: COLUMN}", Tagged: "{tokens: COLUMN, tags: COLUMN} or {text: COLUMN, spans: COLUMN}",
        Pair: "{source: COLUMN, target: COLUMN}", MultiLabelled: "{text: COLUMN, labels: COLUMN}", Scored: "{text: COLUMN, value: COLUMN}", Preference: "{prompt: COLUMN, chosen: COLUMN, rejected: COLUMN}", Rated: "{prompt: COLUMN, completion: COLUMN, rating: COLUMN}", Prompt: "{prompt: COLUMN}",
    }
    roles = ways.get(record, "{text: COLUMN, label: COLUMN}")
    if record is Conversation and "chosen" in names and "rejected" in names:
        return DataError(f"{path} holds pairs of answers, from which cross-entropy does not learn", code="D113", file=path, hint="set objective: dpo (or orpo, reward, or kto with records: pairs)")
    return DataError(what, code="D113", file=path, hint=f"name the columns: data.map={roles}" + ("" if record else ", {prompt, completion}, {messages} or {text}"))


# ---- named by the user --------------------------------------------------------------------------
def mapping_from(given: AnyMapping[str, str], task: str | None, columns: Sequence[str], *, path: str = "", record: type | None = None, sample: Sequence[Row] = ()) -> Mapping:
    """The mapping that `data.map` asks for. Raises RecipeError: an unknown role, a column that is not there, roles that fit no style."""
    record = record or TASKS.get(task or "")
    known = {*(role for style in STYLES.values() for role in (*style.required, *style.optional))}
    named: dict[str, str] = {}
    for key, column in given.items():
        role = key if key in known else ALIASES.get(key, "")
        if not role:
            raise RecipeError(f"`data.map` has the unknown key `{key}`", code="R130", field=f"data.map.{key}", hint=_near(key, sorted(known | set(ALIASES))))
        if column not in columns and column.partition(".")[0] not in columns:
            raise RecipeError(f"`data.map.{key}` names the column `{column}`, which {path or 'the data'} does not have", code="R131", field=f"data.map.{key}", hint=_near(column, list(columns)))
        named[role] = column
    for style_name, style in STYLES.items():
        fits = record in (None, style.record) and set(style.required) <= set(named) <= {*style.required, *style.optional}
        if fits and style_name in ALIKE:
            first = named[style.required[0]]
            fits = style.fits([row.values[first] for row in sample if row.values.get(first) is not None][:50]) or (not sample and style_name in ("messages", "tokens and tags"))
        if fits:
            made = _mapping(style_name, named, path or "the data", task, list(columns))
            return Mapping(made.task, made.record, made.columns, made.style, made.sentence.replace(" is read as ", " is read, as data.map says, as ", 1), strict=True)
    ways = "; ".join(f"{{{', '.join(style.required)}}}" for style in STYLES.values() if record in (None, style.record))
    raise RecipeError(f"`data.map` names {', '.join(named)}, from which no record {f'of task {task} ' if task else ''}can be made", code="R132", field="data.map", hint=f"name one of: {ways}")


def _near(word: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(str(word), allowed, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(allowed[:30])}"
