"""Renderer: equal to Transformers on ordinary rows, equal between training and prediction on all, and learning exactly the answers."""
from copy import deepcopy

import pytest
from chat_styles import STYLES, as_dicts, conversation, tokenizer_for
from tokenizers import AddedToken
from tokenizers.normalizers import Prepend

from luthier.data.records import Conversation, Message
from luthier.preparation import encoding
from luthier.preparation.renderer import Renderer
from luthier.preparation.templates import Request

KINDS = ("bytes", "first", "always", "legacy", "wordpiece", "unigram")


@pytest.fixture(scope="module")
def renderers():
    made = {}

    def get(style, kind="bytes"):
        if (style, kind) not in made:
            tokenizer = tokenizer_for(style, kind)
            made[style, kind] = Renderer(tokenizer, tokenizer.chat_template, 4096)
        return made[style, kind]

    yield get
    for renderer in made.values():
        renderer.close()


@pytest.mark.parametrize("style", STYLES)
def test_text_equals_transformers(style, renderers):
    """The oracle is the real apply_chat_template(tokenize=False)."""
    renderer, tokenizer = renderers(style), tokenizer_for(style)
    for seed in range(30):
        record = conversation(style, seed)
        for messages, prompt in ((record.messages, False), (record.messages[:-1], True)):
            tools = list(record.tools) or None
            ours = renderer._chat_template.render([Request(as_dicts(messages), tools, prompt)])[0].text
            assert ours == tokenizer.apply_chat_template(as_dicts(messages), tools=tools, add_generation_prompt=prompt, tokenize=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", STYLES)
def test_ids_equal_transformers(style, kind, renderers):
    """On rows without control text the stretches together are the ids of the whole text, whatever the tokenizer does at the start of a text."""
    renderer, tokenizer = renderers(style, kind), tokenizer_for(style, kind)
    for seed in range(12):
        record = conversation(style, seed)
        tools = list(record.tools) or None
        prompt = tokenizer.apply_chat_template(as_dicts(record.messages[:-1]), tools=tools, add_generation_prompt=True)["input_ids"]
        assert renderer.prompt(record.messages[:-1], record.tools) == prompt
        whole = tokenizer.apply_chat_template(as_dicts(record.messages), tools=tools)["input_ids"]
        prepared = renderer.conversation(record)
        if style != "thinking" and not prepared.left_out:
            assert prepared.examples[0].tokens.tolist() == whole
    assert not renderer.counts


def learned_turns(record):
    return [index for index, message in enumerate(record.messages) if message.role == "assistant" and message.weight > 0]


def runs_of(example):
    """The learned stretches of an example as (start, end)."""
    marked = [0, *(example.weights > 0).astype(int).tolist(), 0]
    starts = [at for at in range(1, len(marked)) if marked[at] > marked[at - 1]]
    ends = [at for at in range(1, len(marked)) if marked[at] < marked[at - 1]]
    return [(start - 1, end - 1) for start, end in zip(starts, ends, strict=True)]


def served_as_trained(renderer, record) -> tuple[int, int]:
    """(answers learned, of those the ones whose whole past in training is the prompt that prediction serves)."""
    learned = [(example, start, end) for example in renderer.conversation(record).examples for start, end in runs_of(example)]
    equal = 0
    for turn in learned_turns(record):
        prompt = renderer.prompt(record.messages[:turn], record.tools)
        equal += any(example.tokens[:start].tolist() == prompt for example, start, _ in learned)
    return len(learned), equal


def test_training_prompt_equals_prediction_prompt_on_a_thousand_conversations(renderers):
    """The figure: 1,000 conversations over ten styles and four kinds of tokenizer; 100 % of the learned answers stand behind the ids that prediction serves."""
    answers = equal = wanted = 0
    kinds = ("bytes", "first", "always", "unigram")
    for number in range(1000):
        style = list(STYLES)[number % len(STYLES)]
        record = conversation(style, 1000 + number)
        learned, same = served_as_trained(renderers(style, kinds[number // 10 % 4]), record)
        answers, equal, wanted = answers + learned, equal + same, wanted + len(learned_turns(record))
    assert answers == equal == wanted > 2000


def test_the_equality_would_be_missed():
    """Negative control: encoding the whole text at once instead of stretch by stretch breaks the equality where prompt and answer join."""
    tokenizer = tokenizer_for("plain")
    spaced = STYLES["plain"].template.replace("':\\n'", "': '").replace("':\n'", "': '").replace("Assistant:\n", "Assistant: ")
    assert spaced.count(": '") == 2
    renderer = Renderer(tokenizer, spaced, 4096)
    record = Conversation((Message("user", "the guitar"), Message("assistant", "the string")))
    assert served_as_trained(renderer, record) == (1, 1)
    assert any("other tools may not" in notice for notice in renderer.notices)
    together = tokenizer.apply_chat_template(as_dicts(record.messages), chat_template=spaced)["input_ids"]
    assert together[: len(renderer.prompt(record.messages[:1]))] != renderer.prompt(record.messages[:1])


@pytest.mark.parametrize("style", STYLES)
def test_only_answers_and_their_end_are_learned(style, renderers):
    """Weights mark, in order, exactly the answers with a weight, each with its end token and nothing behind it."""
    renderer, tokenizer = renderers(style), tokenizer_for(style)
    end = {"headers": "<|eot_id|>", "turns": "<end_of_turn>"}.get(style, STYLES[style].eos)
    assert renderer.stop_tokens >= {tokenizer.convert_tokens_to_ids(end)}
    for seed in range(40):
        record = conversation(style, seed)
        prepared = renderer.conversation(record)
        stretches = [(example.tokens[start:finish], start) for example in prepared.examples for start, finish in runs_of(example)]
        assert len(stretches) == len(learned_turns(record)) or prepared.left_out == "no token would be learned"
        texts = [tokenizer.decode(tokens) for tokens, _ in stretches]
        for turn in learned_turns(record):
            message = record.messages[turn]
            body = message.content.split("</think>")[-1].strip() or '{"name": "tune"'
            assert any(body in text and text.endswith(end) and text.count(end) == 1 for text in texts)
        others = [message.content for message in record.messages if message.role == "user"]
        assert not any(other in text for other in others for text in texts if len(other) > 20)
        assert all(example.weights[0] == 0 for example in prepared.examples)


def test_weights_of_messages_are_honoured(renderers):
    record = Conversation((Message("user", "a"), Message("assistant", "one", weight=0.0), Message("user", "b"), Message("assistant", "two", weight=0.5), Message("user", "c"), Message("assistant", "three")))
    (example,) = renderers("chatml").conversation(record).examples
    tokenizer = tokenizer_for("chatml")
    assert [(tokenizer.decode(example.tokens[start:end]), set(example.weights[start:end].tolist())) for start, end in runs_of(example)] == [("two<|im_end|>", {0.5}), ("three<|im_end|>", {1.0})]


def test_the_newline_behind_the_end_token_is_not_learned(renderers):
    (example,) = renderers("chatml").conversation(Conversation((Message("user", "a"), Message("assistant", "b")))).examples
    tokenizer = tokenizer_for("chatml")
    assert tokenizer.decode(example.tokens[-1:]) == "\n" and example.weights[-1] == 0
    assert tokenizer.decode(example.tokens[-2:-1]) == "<|im_end|>" and example.weights[-2] == 1


def test_history_that_the_template_rewrites_gives_one_example_per_answer(renderers):
    """Thoughts are dropped from earlier turns: each answer is learned with its thoughts, behind the history as it is served."""
    renderer, tokenizer = renderers("thinking"), tokenizer_for("thinking")

    def think(thought, answer):
        return Message("assistant", f"<think>\n{thought}\n</think>\n\n{answer}")

    record = Conversation((Message("user", "one?"), think("first thought", "one!"), Message("user", "two?"), think("second thought", "two!")))
    prepared = renderer.conversation(record)
    texts = [tokenizer.decode(example.tokens) for example in prepared.examples]
    assert len(texts) == 2
    learned = [tokenizer.decode(example.tokens[example.weights > 0]) for example in prepared.examples]
    assert sorted(learned) == ["<think>\nfirst thought\n</think>\n\none!<|im_end|>", "<think>\nsecond thought\n</think>\n\ntwo!<|im_end|>"]
    longer = max(texts, key=len)
    assert "first thought" not in longer and "one!" in longer
    think_id = tokenizer.convert_tokens_to_ids("<think>")
    assert all(think_id in example.tokens for example in prepared.examples)


def test_a_generation_prompt_that_opens_a_thought_is_what_training_holds():
    """Some templates ask with `<think>` and write answers without it: rows then hold the prompt as it is served, the answer behind it."""
    template = STYLES["chatml"].template.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n' }}{% endif %}")
    renderer = Renderer(tokenizer_for("chatml"), template, 4096)
    record = Conversation((Message("user", "one?"), Message("assistant", "one!"), Message("user", "two?"), Message("assistant", "two!")))
    assert served_as_trained(renderer, record) == (2, 2)
    assert any("asks with more" in notice for notice in renderer.notices)


def test_a_base_without_template_gets_a_plain_one_with_a_notice():
    for kind in KINDS:
        renderer = Renderer(tokenizer_for("plain", kind), None, 4096)
        assert "no chat template" in renderer.notices[0]
        record = conversation("plain", 3)
        learned, equal = served_as_trained(renderer, record)
        assert learned == equal == len(learned_turns(record))
        prompt = renderer.prompt(record.messages[:1])
        if kind == "bytes":
            assert tokenizer_for("plain").decode(prompt) == "<s>" + record.messages[0].role.capitalize() + ": " + record.messages[0].content + "\nAssistant:"


def test_an_answer_alone_is_what_stands_behind_its_prompt(renderers):
    for style in STYLES:
        renderer = renderers(style)
        for text in ("yes", "the guitar string"):
            record = Conversation((Message("user", "what is it?"), Message("assistant", text)))
            (example,) = renderer.conversation(record).examples
            assert renderer.answer(text) == example.tokens[example.weights > 0].tolist()


@pytest.mark.parametrize("kind", ["bytes", "first", "legacy"])
def test_copies_of_a_tokenizer_are_made_once(kind, monkeypatch):
    """A large vocabulary takes a second to copy; texts and conversations differ in their controls only, and encode what they encode alone."""
    made = []
    monkeypatch.setattr(encoding, "_copy", lambda *given, copy=encoding._copy, **more: made.append(1) or copy(*given, **more))
    tokenizer = tokenizer_for("chatml", kind)
    renderer = Renderer(tokenizer, tokenizer.chat_template, 512)
    assert len(made) <= 4
    pieces = [encoding.Piece("a word", "start"), encoding.Piece(" more <|im_end|> words", "text"), encoding.Piece("behind", "token")]
    assert renderer._encoder.encode(pieces) == encoding.Encoder(tokenizer, renderer._encoder.controls).encode(pieces)
    renderer.close()


def test_rows_longer_than_the_context_are_left_out_with_the_reason():
    tokenizer = tokenizer_for("chatml")
    renderer = Renderer(tokenizer, tokenizer.chat_template, 60)
    short, long = (Conversation((Message("user", "the " * n), Message("assistant", "time"))) for n in (5, 200))
    prepared = renderer.conversations([short, long])
    assert prepared[0].left_out is None and prepared[0].cut == 0
    assert prepared[1] == ((), "longer than the context", prepared[1].cut) and prepared[1].cut > 200
    assert len(renderer.prompt(long.messages[:1])) > 60


def test_oldest_turns_go_only_where_asked_and_never_the_answer():
    tokenizer = tokenizer_for("chatml")
    renderer = Renderer(tokenizer, tokenizer.chat_template, 70, when_long="drop_turns")
    turns = [message for n in range(6) for message in (Message("user", f"question {n} " + "the " * 8), Message("assistant", f"answer {n}"))]
    prepared = renderer.conversation(Conversation((Message("system", "be kind"), *turns)))
    text = tokenizer.decode(prepared.examples[0].tokens)
    assert len(prepared.examples[0].tokens) <= 70 and prepared.cut > 0
    assert "be kind" in text and "answer 5<|im_end|>" in text and "question 0" not in text
    one = renderer.conversation(Conversation((Message("user", "the " * 200), Message("assistant", "time"))))
    assert one.left_out == "longer than the context"


def test_both_answers_of_a_pair_lose_the_same_turns():
    tokenizer = tokenizer_for("chatml")
    renderer = Renderer(tokenizer, tokenizer.chat_template, 110, when_long="drop_turns")
    turns = tuple(message for n in range(3) for message in (Message("user", f"question {n} the the"), Message("assistant", f"answer {n}", weight=0.0)))[:-1]
    sides = [Conversation((*turns, Message("assistant", "the " * words))) for words in (1, 60)]
    alone, together = renderer.conversations(sides), renderer.conversations(sides, together=2)
    begins = [["question 0" in tokenizer.decode(item.examples[0].tokens) for item in found] for found in (alone, together)]
    assert begins == [[True, False], [False, False]], "a likelihood after one prompt is not compared with one after another"
    assert together[1].examples[0].tokens.tolist() == alone[1].examples[0].tokens.tolist() and together[0].cut > 0 == alone[0].cut


def test_conversations_that_cannot_be_learned_say_why(renderers):
    renderer = renderers("inst")
    wrong = Conversation((Message("user", "a"), Message("user", "b"), Message("assistant", "c")))
    silent = Conversation((Message("user", "a"), Message("assistant", "c", weight=0.0)))
    reasons = [prepared.left_out for prepared in renderer.conversations([wrong, silent])]
    assert reasons == ["the chat template does not take it: turns must alternate user/assistant", "no token would be learned"]


def test_an_end_token_that_the_tokenizer_overlooks_is_written_all_the_same():
    """Added tokens that are normalised first (a space is put before them) are not seen behind text; the model would never learn to stop."""
    tokenizer = tokenizer_for("plain", "legacy")
    deaf = deepcopy(tokenizer)
    backend = deaf.backend_tokenizer
    backend.normalizer = Prepend("▁")
    backend.add_special_tokens([AddedToken("<|stop|>", normalized=True)])
    deaf.eos_token = "<|stop|>"
    renderer = Renderer(deaf, tokenizer.chat_template, 512)
    (example,) = renderer.conversation(Conversation((Message("user", "a"), Message("assistant", "b")))).examples
    assert example.tokens[example.weights > 0][-1] == deaf.eos_token_id
    assert any("does not recognise" in notice for notice in renderer.notices)
