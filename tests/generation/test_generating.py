"""Text does not depend on its company; sampling repeats; stop strings, streaming and limits do what they say."""
import random

import pytest
import torch

from luthier.errors import RecipeError
from luthier.generation import local
from luthier.generation.local import generate
from luthier.generation.text import Writer
from luthier.methods.lora import LoRA
from luthier.models.load import load


def prompts_of(count, seed=0, longest=40):
    chance = random.Random(seed)
    return [[chance.randrange(7, 263) for _ in range(chance.randrange(1, longest))] for _ in range(count)]


@pytest.fixture(scope="module")
def language_model(tiny_llama):
    return load(str(tiny_llama))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "mistral"])
def test_greedy_equals_the_plain_loop(family, tiny_model):
    """Against the shortest correct program: no batch, no cache, argmax of the last logits."""
    language_model = load(str(tiny_model(family)))
    for prompt, written in zip(prompts_of(4), generate(language_model, prompts_of(4), max_new_tokens=12), strict=True):
        tokens = list(prompt)
        while len(tokens) - len(prompt) < 12:
            with torch.no_grad():
                tokens.append(int(language_model.network(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
            if tokens[-1] in language_model.stop_tokens:
                break
        assert written.tokens == tokens[len(prompt):]


def test_a_hundred_prompts_alone_or_together(language_model):
    prompts = prompts_of(100)
    together = generate(language_model, prompts, max_new_tokens=24)
    few = generate(language_model, prompts, max_new_tokens=24, tokens_at_once=300)
    alone = [generate(language_model, [prompt], max_new_tokens=24)[0] for prompt in prompts]
    assert [row.text for row in together] == [row.text for row in alone] == [row.text for row in few]
    assert [row.tokens for row in together] == [row.tokens for row in alone]
    assert len({row.text for row in together}) > 50, "different prompts must lead to different texts, else this shows nothing"


def test_near_ties_are_settled_by_the_row_alone(language_model, monkeypatch):
    """Noise as large as a batch's rounding is put on the logits: with the guard texts stay equal, without it they do not."""
    real = local.next_logits

    def noisy(model, tokens_BT, attend_BS, position_BT, cache):
        logits = real(model, tokens_BT, attend_BS, position_BT, cache)
        return logits if cache is None else logits + 0.02 * torch.randn_like(logits)

    prompts = prompts_of(20)
    clean = [row.tokens for row in generate(language_model, prompts, max_new_tokens=16)]
    monkeypatch.setattr(local, "next_logits", noisy)
    monkeypatch.setattr(local, "NEAR_TIE", 0.2)
    torch.manual_seed(0)
    assert [row.tokens for row in generate(language_model, prompts, max_new_tokens=16)] == clean
    monkeypatch.setattr(local, "NEAR_TIE", -1.0)
    assert [row.tokens for row in generate(language_model, prompts, max_new_tokens=16)] != clean


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "mistral"])
def test_a_prompt_that_several_rows_go_on_from_is_read_once(family, tiny_model, monkeypatch):
    """Drawn answers to repeated prompts: the first pass has a row for each different prompt, and every token has the likelihood that its own text gives it."""
    language_model = load(str(tiny_model(family)))
    prompts = [prompt for prompt in prompts_of(3) for _ in range(4)][::-1]
    seen, real = [], local.next_logits
    monkeypatch.setattr(local, "next_logits", lambda model, tokens, *more: (seen.append(tuple(tokens.shape)), real(model, tokens, *more))[1])
    found = generate(language_model, prompts, max_new_tokens=10, temperature=1.0, seed=2)
    assert len({tuple(row.tokens) for row in found}) > 6 and seen[0][0] == 3 and seen[1][0] == 12
    for row, prompt in zip(found, prompts, strict=True):
        tokens = row.tokens
        with torch.no_grad():
            logprobs = language_model.network(input_ids=torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert row.logprobs == pytest.approx(logprobs.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist(), abs=1e-4)


def test_sampling_repeats_and_does_not_depend_on_the_batch(language_model):
    prompts = prompts_of(30)
    how = {"max_new_tokens": 12, "temperature": 1.0, "top_p": 0.9, "top_k": 50}
    first = [row.tokens for row in generate(language_model, prompts, seed=4, **how)]
    assert first == [row.tokens for row in generate(language_model, prompts, seed=4, **how)]
    assert first == [row.tokens for row in generate(language_model, prompts, seed=4, tokens_at_once=120, **how)]
    assert first != [row.tokens for row in generate(language_model, prompts, seed=5, **how)]
    same = generate(language_model, [prompts[0]] * 8, seed=4, **how)
    assert len({tuple(row.tokens) for row in same}) > 1, "equal prompts in one call are different draws"


def test_sampling_follows_the_distribution(language_model):
    """First tokens of many draws against the probabilities themselves, whole, cut by top-k and cut by top-p."""
    prompt = prompts_of(1)[0]
    with torch.no_grad():
        probability = (language_model.network(input_ids=torch.tensor([prompt])).logits[0, -1].double() / 0.5).softmax(-1)
    best = probability.argsort(descending=True)
    drawn = [row.tokens[0] for row in generate(language_model, [prompt] * 600, max_new_tokens=1, temperature=0.5, seed=1)]
    share = drawn.count(int(best[0])) / 600
    assert abs(share - probability[best[0]].item()) < 4 * (0.25 / 600) ** 0.5
    cut = {row.tokens[0] for row in generate(language_model, [prompt] * 300, max_new_tokens=1, temperature=0.5, seed=1, top_k=2)}
    assert cut == set(best[:2].tolist())
    nucleus = set(best[: int((probability[best].cumsum(0) < 0.5).sum()) + 1].tolist())
    assert {row.tokens[0] for row in generate(language_model, [prompt] * 300, max_new_tokens=1, temperature=0.5, seed=1, top_p=0.5)} <= nucleus


def test_stop_strings_end_a_text_before_them(language_model):
    prompt = prompts_of(1)[0]
    whole = generate(language_model, [prompt], max_new_tokens=30)[0]
    stop = whole.text[10:12]
    assert stop.strip("\ufffd") == stop and len(stop) == 2
    told = []
    cut = generate(language_model, [prompt], max_new_tokens=30, stop=[stop, "never there"], on_token=lambda row, piece: told.append(piece))[0]
    assert cut.finish == "stop" and cut.text == whole.text[: whole.text.index(stop)] == "".join(told) and len(cut.tokens) < len(whole.tokens)


def test_the_end_token_ends_and_is_not_text(language_model, monkeypatch):
    prompt = prompts_of(1)[0]
    whole = generate(language_model, [prompt], max_new_tokens=20)[0]
    monkeypatch.setattr(language_model.network.config, "eos_token_id", [whole.tokens[5], 2])
    cut = generate(language_model, [prompt], max_new_tokens=20)[0]
    assert cut.finish == "stop" and cut.tokens == whole.tokens[: whole.tokens.index(whole.tokens[5]) + 1]


def test_streamed_pieces_are_the_text_and_whole_characters(language_model):
    told: dict[int, list[str]] = {0: [], 1: [], 2: []}
    written = generate(language_model, prompts_of(3), max_new_tokens=40, temperature=1.0, seed=2, on_token=lambda row, piece: told[row].append(piece))
    for row, result in enumerate(written):
        assert "".join(told[row]) == result.text and len(told[row]) > 1 and all(told[row])


def test_characters_of_several_tokens_are_never_split(byte_tokenizer):
    """A byte tokenizer needs four tokens for an emoji; nothing is told before the fourth."""
    chance = random.Random(0)
    for _ in range(200):
        text = "".join(chance.choice("aé漢🎻🎼\n ") for _ in range(12))
        tokens = byte_tokenizer(text, add_special_tokens=False).input_ids
        pieces: list[str] = []
        writer = Writer(byte_tokenizer, [5], [], pieces.append)
        for end in range(1, len(tokens) + 1):
            writer.write(tokens[:end])
        assert writer.close(tokens) == text == "".join(pieces) and not any("\ufffd" in piece for piece in pieces)


def test_limits(language_model):
    assert [row.finish for row in generate(language_model, prompts_of(2), max_new_tokens=3)] == ["length"] * 2
    nearly_full = [7] * 250
    full = generate(language_model, [nearly_full], max_new_tokens=50)[0]
    assert len(full.tokens) <= 6 and full.finish in ("length", "stop")
    for prompts, how in (([[]], {}), ([[7] * 256], {}), ([[7]], {"max_new_tokens": 0}), ([[7]], {"temperature": -1}), ([[7]], {"top_p": 0}), ([[7]], {"top_k": -1})):
        with pytest.raises(RecipeError):
            generate(language_model, prompts, **({"max_new_tokens": 4} | how))
    assert generate(language_model, [], max_new_tokens=4) == []


def test_an_adapter_speaks(tiny_llama):
    language_model = load(str(tiny_llama))
    plain = generate(language_model, prompts_of(3), max_new_tokens=8)
    language_model.network = LoRA(rank=4).apply(language_model)
    assert [row.text for row in generate(language_model, prompts_of(3), max_new_tokens=8)] == [row.text for row in plain]
    with torch.no_grad():
        for parameter in LoRA().trainable(language_model.network).values():
            parameter.add_(0.3)
    assert [row.text for row in generate(language_model, prompts_of(3), max_new_tokens=8)] != [row.text for row in plain]


def test_bf16_speaks(tiny_llama):
    written = generate(load(str(tiny_llama), autocast=torch.bfloat16), prompts_of(3), max_new_tokens=8)
    assert all(row.tokens and row.seconds > 0 for row in written)
