"""Records to weighted tokens over the model's own chat template: one way for training and for prediction, so that both see the same ids.

A conversation is rendered by the template with every control in its data hidden, cut where prompts and answers end, and encoded stretch by
stretch; `prompt` cuts and encodes by the same rule. Only assistant turns with a weight, up to and with their end token, are learned.
"""
import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from luthier.data.records import Conversation, Message
from luthier.errors import DataError
from luthier.files import digest
from luthier.preparation import documents, masking, tagging
from luthier.preparation.controls import Controls, Cover, Guard, control_tokens, find_controls, probe_frames
from luthier.preparation.encoding import Encoder, Piece
from luthier.preparation.examples import NOTHING_LEARNED, TOO_LONG, Example, Prepared, example
from luthier.preparation.templates import ChatTemplate, Rendering, Request
from luthier.preparation.turns import Layout, Stretch, answer_alone, cut, probe_layout

PLAIN = (
    "{% if starts %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}Assistant: {{ message.content | trim }}{{ eos_token }}\n"
    "{% else %}{{ message.role | capitalize }}: {{ message.content | trim }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
UNRENDERED = "the chat template does not take it"
ELSEWHERE = "the chat template writes its answer elsewhere than it asks for it"
SLIPPED = "control tokens in the text that cannot be hidden"
ROLES = ("system", "user", "assistant", "tool", "developer", "function")
SPOKEN = ("reasoning_content", "thinking", "reasoning")  # what an assistant says beside the content; all else of its message is data
STUB = Message("user", "Hello")


class Renderer:
    """Renders records for one tokenizer and template. Holds a template process; `close` ends it, and so does the end of the program."""

    def __init__(self, tokenizer, template: str | None, context: int, *, head: str = "causal", when_long: Literal["exclude", "drop_turns"] = "exclude", today: str | None = None):
        """`template` None: a plain built-in one, with a notice. `context` is the longest row in tokens. `today` (ISO) fixes the date that a template may write."""
        self.tokenizer, self.context, self.head, self.when_long = tokenizer, context, head, when_long
        self.notices: list[str] = []
        self.endless = 0
        """Learned answers so far that did not close with an end token."""
        added = tokenizer.added_tokens_decoder
        self._special = {token.content for token in added.values() if token.special}
        self._tokens = control_tokens(((number, token.content, token.special) for number, token in added.items()), template or "")
        text_controls = Controls(self._tokens)
        self._text_guard, self._text_encoder = Guard(text_controls), Encoder(tokenizer, text_controls)
        self._start, self._end = self._text_encoder.surroundings()
        if head == "causal" and not template:
            self.notices.append("this base has no chat template: a plain one (User: / Assistant:) is used for training and for prediction")
        self.template = template or PLAIN
        variables = {**tokenizer.special_tokens_map, **({} if template else {"starts": bool(self._start), "bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""})}
        self._chat_template = ChatTemplate(self.template, variables, today=today)
        self._guard, self._encoder, self._layout = self._text_guard, self._text_encoder, Layout((), 0)
        self._stops = {tokenizer.eos_token_id} - {None}
        if head == "causal":
            self._probe(today)

    def _probe(self, today: str | None) -> None:
        """Learn from small conversations what the template writes between turns and how it ends an answer."""

        def render(messages: list[dict], prompt: bool) -> str | None:
            rendering = self._chat_template.render([Request(messages, prompt=prompt)])[0]
            return None if rendering.error else rendering.text

        controls = find_controls(self._tokens, self._special, self.template, probe_frames(render))
        self._guard, self._encoder = Guard(controls), Encoder(self.tokenizer, controls, like=self._text_encoder)
        self._layout = probe_layout(self._chat_template, list(self._tokens), self.tokenizer.eos_token)
        self._stops |= {self._tokens[text] for text in self._layout.ends if text in self._tokens}
        if not self._layout.ends:
            self.notices.append("nothing ends an answer: the tokenizer has no end token and the template writes none, so answers will run on")
        if "strftime_now" in self.template and today is None:
            self.notices.append("the chat template writes today's date: rows prepared on another day differ")
        if self._layout.tail:
            self.notices.append("the template asks with more than it writes before an answer; rows hold what it asks with, once for each answer")
        if self._encoder.deaf:
            self.notices.append(f"the tokenizer does not recognise {', '.join(sorted(self._encoder.deaf))} behind other text; their ids are written directly")
        if self._encoder.vague:
            self.notices.append(f"the tokenizer has no tokens for {', '.join(self._encoder.vague)}, so text in the data can look like these marks of the template")
        self._notice_crossing()

    def _notice_crossing(self) -> None:
        """Tell where cutting at the start of an answer gives other ids than encoding the whole text at once."""
        asked = {"role": "user", "content": "How are you?"}
        renderings = self._chat_template.render([Request([asked, {"role": "assistant", "content": word}], turns=(1,)) for word in ("I", "the", "Yes.", "it", "a")])
        for rendering in renderings:
            if rendering.error:
                return
            ids = [token for part in self._encode([(cut(rendering, (1,), self._layout)[0], Cover())])[0] for token in part]
            if ids != self._encoder.encode_texts([rendering.text])[0] and not self._encoder.deaf:
                self.notices.append("the template's prompt ends where the tokenizer would join it with the answer; training and prediction both cut there, other tools may not")
                return

    # ---- what others ask for --------------------------------------------------------------------
    @property
    def counts(self) -> Counter[str]:
        """How often each control string was found in data and encoded as the text that it is."""
        return self._guard.counts + self._text_guard.counts

    @property
    def stop_tokens(self) -> set[int]:
        """Ids that end an answer."""
        return set(self._stops)

    @property
    def controls(self) -> Controls:
        """What only the template may write."""
        return self._guard.controls

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the ids of a record, but for the code: tokenizer, template, context, head and choices."""
        dated = self._chat_template.today or (datetime.date.today().isoformat() if "strftime_now" in self.template else "")
        return digest(self.tokenizer.backend_tokenizer.to_str(), str(sorted(self._chat_template.variables.items())), self.template, str(self.context), self.head, self.when_long, dated)

    def close(self) -> None:
        """End the template process; the next rendering starts a new one."""
        self._chat_template.close()

    # ---- conversations --------------------------------------------------------------------------
    def conversation(self, record: Conversation) -> Prepared:
        """The examples of one conversation."""
        return self.conversations([record])[0]

    def conversations(self, records: Sequence[Conversation], *, together: int = 1) -> list[Prepared]:
        """The examples of many conversations: usually one each, one per answer where the template rewrites history.

        A row longer than the context is left out, or loses its oldest turns if `when_long` says so; an answer is never cut. So many rows in a row
        belong `together`, such as both answers to one prompt: they lose the same turns.
        """
        prepared = self._conversations(records)
        if self.when_long == "drop_turns":
            for at in range(0, len(records), together):
                if any(one.left_out == TOO_LONG for one in prepared[at : at + together]):
                    prepared[at : at + together] = self._shortened(records[at : at + together], prepared[at : at + together])
        return prepared

    def prompt(self, messages: Sequence[Message], tools: Sequence[dict] = ()) -> list[int]:
        """Ids that ask for the next assistant turn: the very ids that stand before this turn in training. A conversation that the template refuses is a DataError."""
        return self.prompts([(messages, tools)])[0]

    def prompts(self, asked: Sequence[tuple[Sequence[Message], Sequence[dict]]]) -> list[list[int]]:
        """Ids of many prompts, each of (messages, tools)."""
        covers = [Cover() for _ in asked]
        requests = [self._request(messages, tools, cover, prompt=True) for (messages, tools), cover in zip(asked, covers, strict=True)]
        renderings = self._chat_template.render(requests)
        for rendering in renderings:
            if rendering.error:
                raise DataError(f"{UNRENDERED}: {rendering.error}", code="D414", hint="change the messages so that they alternate as the template expects")
        stretches = [cut(rendering, request.turns, self._layout)[0] for request, rendering in zip(requests, renderings, strict=True)]
        encoded = self._encode(list(zip(stretches, covers, strict=True)))
        if any(self._slipped(rendering.text, parts, cover) for rendering, parts, cover in zip(renderings, encoded, covers, strict=True)):
            raise DataError(SLIPPED, code="D415", hint="remove the control tokens from the text")
        return [[token for part in parts for token in part] for parts in encoded]

    def answer(self, text: str) -> list[int]:
        """Ids of an answer as it is learned: what stands behind any prompt, the end token included."""
        return self.answers([text])[0]

    def answers(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many answers."""
        prepared = self._conversations([Conversation((STUB, Message("assistant", text))) for text in texts], bounded=False)
        for item in prepared:
            if item.left_out:
                raise DataError(f"an answer cannot be written: {item.left_out}", code="D414", hint="use another chat template")
        return [item.examples[0].tokens[item.examples[0].weights > 0].tolist() for item in prepared]

    def _conversations(self, records: Sequence[Conversation], *, bounded: bool = True) -> list[Prepared]:
        covers = [Cover() for _ in records]
        requests = [self._request(record.messages, record.tools, cover) for record, cover in zip(records, covers, strict=True)]
        renderings = self._chat_template.render(requests)
        cuts = [cut(rendering, request.turns, self._layout) if not rendering.error else ([], set()) for request, rendering in zip(requests, renderings, strict=True)]
        wanted = [{turn for turn in request.turns if record.messages[turn].weight > 0} for record, request in zip(records, requests, strict=True)]
        alone = [(number, turn) for number, turns in enumerate(wanted) if not renderings[number].error for turn in sorted(turns - cuts[number][1])]
        found = self._alone([(records[number], requests[number], turn) for number, turn in alone])
        rows: list[list[tuple[str, list[Stretch], set[int]]]] = [[] for _ in records]
        for number, (stretches, whole) in enumerate(cuts):
            if learned := wanted[number] & whole:
                rows[number].append((renderings[number].text, stretches, learned))
        for (number, turn), stretches in zip(alone, found, strict=True):
            if stretches:
                rows[number].append(("".join(stretch.text for stretch in stretches), stretches, {turn}))
        flat = [(number, row) for number, items in enumerate(rows) for row in items]
        encoded = self._encode([(stretches, covers[number]) for number, (_, stretches, _) in flat])
        finished: list[list[Example | str]] = [[] for _ in records]
        for (number, (text, stretches, learned)), parts in zip(flat, encoded, strict=True):
            finished[number].append(SLIPPED if self._slipped(text, parts, covers[number]) else self._weighted(stretches, parts, learned, records[number]))
        return [self._judged(finished[number], renderings[number], bool(wanted[number]), bounded) for number in range(len(records))]

    def _request(self, messages: Sequence[Message], tools: Sequence[dict], cover: Cover, *, prompt: bool = False) -> Request:
        """A conversation for the template, its controls hidden."""
        shown = []
        for message in messages:
            if message.role not in ROLES:  # templates paste roles between brackets: a free choice of role could spell a control token
                raise DataError(f"the role {message.role!r} is unknown", code="D111", hint=f"roles are: {', '.join(ROLES)}")
            assistant = message.role == "assistant"
            extra = {name: self._guard.hide_all(value, cover, assistant=assistant and name in SPOKEN) for name, value in message.extra.items()}
            shown.append({"role": message.role, "content": self._guard.hide(message.content, cover, assistant=assistant), **extra})
        turns = tuple(index for index, message in enumerate(messages) if message.role == "assistant" and index > 0)
        return Request(shown, self._guard.hide_all(list(tools), cover) or None, prompt, turns)

    def _alone(self, asked: Sequence[tuple[Conversation, Request, int]]) -> list[list[Stretch]]:
        """For each answer that the whole conversation does not hold as it is asked for: its prompt as it is served, and the answer behind it."""
        requests = []
        for _, request, turn in asked:
            earlier = tuple(index for index in request.turns if index < turn)
            requests += [Request(request.messages[:turn], request.tools, True, earlier), Request(request.messages[: turn + 1], request.tools, False, (turn,))]
        renderings, result = self._chat_template.render(requests) if requests else [], []
        for number, (_, _, turn) in enumerate(asked):
            before, until = renderings[2 * number : 2 * number + 2]
            answer = None if before.error or until.error else answer_alone(until, until.turns[0], self._layout)
            result.append([*cut(before, requests[2 * number].turns, self._layout)[0], Stretch(answer, turn)] if answer else [])
        return result

    def _encode(self, texts: Sequence[tuple[Sequence[Stretch], Cover]]) -> list[list[list[int]]]:
        """Ids of each stretch of each text."""
        pieces: list[Piece] = []
        owners: list[tuple[int, int]] = []
        for number, (stretches, cover) in enumerate(texts):
            before: str | None = None
            for at, stretch in enumerate(stretches):
                for text, hidden in self._split(stretch.text, cover):
                    after = "start" if before is None else "text" if before == "" else self._encoder.after(before)
                    pieces.append(Piece(text, after, hidden))
                    owners.append((number, at))
                    before = "" if hidden else text
        result: list[list[list[int]]] = [[[] for _ in stretches] for stretches, _ in texts]
        for (number, at), ids in zip(owners, self._encoder.encode(pieces), strict=True):
            result[number][at] += ids
        return result

    def _split(self, text: str, cover: Cover) -> list[tuple[str, bool]]:
        """A stretch as pieces that are encoded one by one: hidden text, tokens that the tokenizer is deaf to, and the rest."""
        return [(part, hidden) for piece, hidden in cover.pieces(text) for part in ([piece] if hidden else self._encoder.apart(piece))]

    def _slipped(self, text: str, parts: Sequence[Sequence[int]], cover: Cover) -> bool:
        """Whether ids hold more control tokens than the template wrote: a tokenizer that rewrites text before it looks for them."""
        return sum(map(self._encoder.controls_in, parts)) > self._guard.found(text)

    def _weighted(self, stretches: Sequence[Stretch], parts: Sequence[Sequence[int]], learned: set[int], record: Conversation) -> Example:
        """One row: ids with the weights of the answers that are learned in it."""
        tokens: list[int] = []
        weights: list[float] = []
        for stretch, ids in zip(stretches, parts, strict=True):
            tokens += ids
            self.endless += stretch.turn in learned and not (ids and ids[-1] in self._stops)
            weights += [record.messages[stretch.turn].weight if stretch.turn in learned else 0.0] * len(ids)
        if weights:
            weights[0] = 0.0
        return example(tokens, weights)

    def _judged(self, items: Sequence[Example | str], rendering: Rendering, wanted: bool, bounded: bool) -> Prepared:
        """What becomes of a conversation: its examples, or one reason."""
        if rendering.error:
            return Prepared((), f"{UNRENDERED}: {rendering.error}")
        if SLIPPED in items:
            return Prepared((), SLIPPED)
        kept = tuple(item for item in items if item.learned)
        if not kept:
            return Prepared((), ELSEWHERE if wanted and not items else NOTHING_LEARNED)
        fitting = tuple(item for item in kept if not bounded or len(item.tokens) <= self.context)
        dropped = sum(len(item.tokens) for item in kept) - sum(len(item.tokens) for item in fitting)
        return Prepared(fitting, None if fitting else TOO_LONG, dropped)

    def _shortened(self, records: Sequence[Conversation], whole: list[Prepared]) -> list[Prepared]:
        """Conversations of one beginning without their oldest exchanges, as many as it takes for all to fit; what is lost is counted."""
        read = [item.cut + sum(len(example.tokens) for example in item.examples) for item in whole]
        while True:
            shorter = [without_oldest(record) for record in records]
            if None in shorter:
                return whole
            records, prepared = shorter, self._conversations(shorter)
            if all(item.left_out != TOO_LONG for item in prepared):
                kept = [sum(len(example.tokens) for example in item.examples) for item in prepared]
                return [item._replace(cut=max(0, tokens - left)) for item, tokens, left in zip(prepared, read, kept, strict=True)]

    # ---- plain text -----------------------------------------------------------------------------
    def text(self, text: str) -> list[int]:
        """Ids of a plain text as the tokenizer itself gives them; for a decoder without an end token, so that it can go on."""
        return [*self._start, *self._clean(text), *(self._end if self.head != "causal" else [])]

    def document(self, text: str, *, control_tokens: bool = False) -> Prepared:
        """The chunks of one plain text, each token learned once, the end token appended."""
        return self.documents([text], control_tokens=control_tokens)[0]

    def documents(self, texts: Sequence[str], *, control_tokens: bool = False, stride: int | None = None) -> list[Prepared]:
        """The chunks of many plain texts, or with `stride` overlapping windows to measure by. `control_tokens`: read controls that are written in them as controls (text of your own)."""
        end = self._end or ([self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else [])
        prepared = []
        for ids in self._plain(texts, control_tokens=control_tokens):
            if ids is None:
                prepared.append(Prepared((), SLIPPED))
                continue
            start = [] if ids[: len(self._start)] == self._start else self._start
            stop = [] if ids[len(ids) - len(end):] == end else end
            cut = documents.chunks(ids, start, stop, self.context) if stride is None else documents.windows(ids, start, stop, self.context, stride)
            examples = tuple(cut) if ids else ()
            prepared.append(Prepared(examples, None if examples else NOTHING_LEARNED))
        return prepared

    def masking(self, *, rate: float, whole_words: bool) -> masking.Masking:
        """How texts are masked for this tokenizer."""
        return masking.masking_of(self.tokenizer, rate=rate, whole_words=whole_words)

    def maskable(self, texts: Sequence[str]) -> list[Prepared]:
        """Texts whose words may be masked: targets hold the number of the word that each token belongs to."""
        masking.mask_of(self.tokenizer)
        wordpiece = self.tokenizer.backend_tokenizer.model.__class__.__name__ == "WordPiece"
        never, prepared = frozenset(self.tokenizer.all_special_ids), []
        for ids in self._plain(texts):
            words = [] if ids is None else masking.word_numbers(self.tokenizer.convert_ids_to_tokens(ids), wordpiece=wordpiece)
            prepared.append(Prepared((), SLIPPED) if ids is None else masking.texts(ids, words, self._start, self._end, self.context, never))
        return prepared

    def with_masks(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of a text with masks written in it (`[MASK]`, `<mask>` or the tokenizer's own), and where the masks stand."""
        marks = sorted({self.tokenizer.mask_token, "[MASK]", "<mask>"}, key=len, reverse=True)
        parts = re.split("|".join(map(re.escape, marks)), text)
        ids = list(self._start)
        places = []
        for number, part in enumerate(parts):
            if number:
                places.append(len(ids))
                ids.append(self.tokenizer.mask_token_id)
            # a mask stands where a word with the space before it would: byte-level tokenizers give that space to the word
            part = part.rstrip() if number < len(parts) - 1 else part
            ids += self._clean(part) if part else []
        return [*ids, *self._end], places

    def labelled(self, text: str, label: int | None, *, pair: str | None = None, **more) -> Prepared:
        """A text, or two, with a class or numbers, for a head that predicts them; what is longer than the context loses its end, counted in `cut`.

        Two texts stand as the tokenizer itself sets them side by side; one that only joins them gets a blank line between. The longer one is cut first.
        """
        middle, owned = self._text_encoder.between() if pair is not None else ([], 0)
        if pair is not None and not middle:
            text, pair = f"{text}\n\n{pair}", None
        ids, other = self._clean(text), [] if pair is None else self._clean(pair)
        room = self.context - len(self._start) - len(self._end) - len(middle)
        lost = max(0, len(ids) + len(other) - room)
        keep = max(room - len(other), min(len(ids), (room + 1) // 2)) if lost else len(ids)
        ids, other = ids[:keep], other[: max(0, room - min(keep, len(ids)))]
        tokens = [*self._start, *ids, *middle, *other, *self._end]
        told = pair is not None and "token_type_ids" in self.tokenizer.model_input_names
        second = len(self._start) + len(ids) + owned if told else 0
        return Prepared((example(tokens, label=label, cut=lost, second=second, **more),), None, lost)

    def source(self, text: str) -> tuple[list[int], int]:
        """Ids of what an encoder reads, and how many of the text did not fit: its end is cut."""
        ids = self._clean(text)
        lost = max(0, len(ids) + len(self._start) + len(self._end) - self.context)
        return [*self._start, *ids[: len(ids) - lost], *self._end], lost

    def written(self, text: str) -> list[int]:
        """Ids of what a decoder behind an encoder writes, closed by an end token: without it a model tuned on them never stops."""
        end = self._end or [token for token in (self.tokenizer.eos_token_id,) if token is not None]
        self.endless += not end
        return [*self._start, *self._clean(text), *end]

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Prepared]:
        """What an encoder reads and a decoder writes: a source longer than the context loses its end, counted in `cut`; a target is never cut."""
        prepared = []
        for (source, lost), target in zip([self.source(source) for source, _ in pairs], [self.written(target) for _, target in pairs], strict=True):
            if len(target) > self.context:
                prepared.append(Prepared((), TOO_LONG, len(target)))
                continue
            tokens, weights = source + target, [0.0] * len(source) + [1.0] * len(target)
            prepared.append(Prepared((example(tokens, weights, cut=lost, source=len(source)),), None, lost))
        return prepared

    def tagged(self, texts: Sequence[tuple[str, Sequence[tuple[int, int]], Sequence[int]]]) -> list[Prepared]:
        """Texts cut into words, each with a class; a word's ids are those of the word with the white space before it. Many windows where one is too long.

        Controls in the data are encoded as text, as everywhere.
        """
        return [
            tagging.windows(words, classes, self._start, self._end, self.context) if words is not None else Prepared((), SLIPPED)
            for words, (_, _, classes) in zip(self._words([(text, places) for text, places, _ in texts]), texts, strict=True)
        ]

    def _words(self, texts: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> list[list[list[int]] | None]:
        """Sub-word ids of every word of every text; None where a control could not be hidden."""
        pieces: list[Piece] = []
        owners: list[tuple[int, int]] = []
        for number, (text, places) in enumerate(texts):
            cover, before = Cover(), 0
            for word, (_, end) in enumerate(places):
                for part, hidden in cover.pieces(self._text_guard.hide(text[before:end], cover, alone=True)):
                    pieces.append(Piece(part, "text" if owners and owners[-1][0] == number else "start", hidden))
                    owners.append((number, word))
                before = end
        result: list[list[list[int]]] = [[[] for _ in places] for _, places in texts]
        for (number, word), ids in zip(owners, self._text_encoder.encode(pieces), strict=True):
            result[number][word] += ids
        return [None if any(self._text_encoder.controls_in(ids) for ids in words) else words for words in result]

    def _clean(self, text: str) -> list[int]:
        """Ids of one text that must not hold controls."""
        ids = self._plain([text])[0]
        if ids is None:
            raise DataError(SLIPPED, code="D415", hint="remove the control tokens from the text")
        return ids

    def _plain(self, texts: Sequence[str], *, control_tokens: bool = False) -> list[list[int] | None]:
        """Ids of texts, the controls in them as text unless they are meant; None where one could not be hidden."""
        if control_tokens:
            return self._text_encoder.encode_texts(texts)
        pieces: list[Piece] = []
        owners: list[int] = []
        for number, text in enumerate(texts):
            cover = Cover()
            for at, (part, hidden) in enumerate(cover.pieces(self._text_guard.hide(text, cover, alone=True))):
                pieces.append(Piece(part, "start" if at == 0 else "text", hidden))
                owners.append(number)
        result: list[list[int]] = [[] for _ in texts]
        for number, ids in zip(owners, self._text_encoder.encode(pieces), strict=True):
            result[number] += ids
        return [None if self._text_encoder.controls_in(ids) else ids for ids in result]


def without_oldest(record: Conversation) -> Conversation | None:
    """The conversation from its second question on, a leading system message kept; None where there is none."""
    led = [message for message in record.messages[:1] if message.role in ("system", "developer")]
    later = next((at for at in range(len(led) + 1, len(record.messages)) if record.messages[at].role == "user"), None)
    return None if later is None else replace(record, messages=(*led, *record.messages[later:]))
