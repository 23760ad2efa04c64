"""The cache of tokens: reused when nothing changed, made again when any one of content, template, tokenizer, context, task or code has."""
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from chat_styles import STYLES, bert, conversation, tokenizer_for

from luthier.data.ledger import Ledger
from luthier.data.records import Conversation, Labelled, Message, Origin
from luthier.preparation import cache
from luthier.preparation.cache import prepare
from luthier.preparation.checks import check_tokens
from luthier.preparation.renderer import Renderer
from luthier.preparation.show import spans


@dataclass
class Talk:
    """A task as preparation sees one."""

    louder: bool = False

    def examples(self, records, renderer):
        return renderer.conversations(records)


def renderer_for(style="chatml", context=512, template=None, **choices):
    tokenizer = tokenizer_for(style)
    tokenizer.pad_token = tokenizer.eos_token
    return Renderer(tokenizer, template or tokenizer.chat_template, context, **choices)


RECORDS = [conversation("chatml", seed) for seed in range(20)]


def run(folder, renderer=None, *, records=RECORDS, content="abc", task=None):
    renderer, task = renderer or renderer_for(), task or Talk()
    made = prepare(iter(records), task.examples, renderer, folder / "train", content=content, task=task)
    renderer.close()
    return made


def test_equal_things_are_reused(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert (first.reused, second.reused) == (False, True)
    assert first.store.key == second.store.key and len(first.store) == len(second.store) > 0
    assert (first.rows, first.used, first.left_out, first.kept) == (second.rows, second.used, second.left_out, second.kept)


CHANGES = {
    "content": lambda: {"content": "abd"},
    "template": lambda: {"renderer": renderer_for(template=STYLES["chatml"].template + " ")},
    "tokenizer": lambda: {"renderer": Renderer(tokenizer_for("chatml", "first"), STYLES["chatml"].template, 512)},
    "named tokens": lambda: {"renderer": with_other_end()},
    "context": lambda: {"renderer": renderer_for(context=511)},
    "length policy": lambda: {"renderer": renderer_for(when_long="drop_turns")},
    "head": lambda: {"renderer": renderer_for(head="sequence_class")},
    "date": lambda: {"renderer": renderer_for(today="2026-01-01")},
    "task's settings": lambda: {"task": Talk(louder=True)},
}


def with_other_end():
    from copy import deepcopy

    tokenizer = deepcopy(tokenizer_for("chatml"))
    tokenizer.eos_token = "<|endoftext|>"
    return Renderer(tokenizer, tokenizer.chat_template, 512)


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_makes_the_store_again(tmp_path, change):
    first = run(tmp_path)
    changed = CHANGES[change]()
    renderer = changed.get("renderer") or renderer_for()
    again = cache.key_of(changed.get("content", "abc"), renderer, changed.get("task", Talk()))
    renderer.close()
    assert again != first.store.key
    assert cache.TokenStore.cached(tmp_path / "train", again) is None


def test_changed_code_makes_the_store_again(tmp_path, monkeypatch):
    """One byte in any file of preparation, or a file more, is another code."""
    first = run(tmp_path)
    copy = tmp_path / "code"
    shutil.copytree(Path(cache.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = cache.code_hash(copy)
    assert before == cache.code_hash(Path(cache.__file__).parent)
    (copy / "checks" / "length.py").write_text((copy / "checks" / "length.py").read_text() + "#")
    changed = cache.code_hash(copy)
    (copy / "more.py").write_text("")
    assert len({before, changed, cache.code_hash(copy)}) == 3
    monkeypatch.setattr(cache, "code_hash", lambda folder: changed)
    assert run(tmp_path).reused is False and run(tmp_path).store.key != first.store.key


def test_the_source_of_the_task_is_part_of_the_key(tmp_path, monkeypatch):
    first = run(tmp_path)
    other = tmp_path / "other.py"
    other.write_text("another source")
    monkeypatch.setattr(cache.inspect, "getfile", lambda _: str(other))
    assert run(tmp_path).store.key != first.store.key


def test_a_damaged_store_is_made_again(tmp_path):
    run(tmp_path)
    path = tmp_path / "train" / "weights.f32"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0@")
    assert run(tmp_path).reused is False and run(tmp_path).reused is True


def test_rows_and_tokens_balance(tmp_path):
    """Every row is used or left out with a reason, every token learned, context or cut."""
    long = Conversation((Message("user", "the " * 600), Message("assistant", "time")), origin=Origin("x.jsonl", 9, 9))
    silent = Conversation((Message("user", "a"), Message("assistant", "b", weight=0.0)), origin=Origin("x.jsonl", 4, 4))
    made = run(tmp_path, renderer_for(context=256), records=[*RECORDS[:3], long, silent, *RECORDS[3:]])
    never = sum(not any(message.weight for message in record.messages if message.role == "assistant") for record in RECORDS)
    assert made.rows == 22 and made.left_out == {"longer than the context": 1, "no token would be learned": 1 + never}
    assert made.left_out_rows["longer than the context"] == [9] and 4 in made.left_out_rows["no token would be learned"]
    assert 3 not in made.kept and len(made.kept) == made.used == made.rows - 2 - never
    assert made.store.records.tolist() == sorted(made.store.records.tolist()) and made.cut > 600
    account = made.account(Ledger(25, 22, left_out=__import__("collections").Counter({"empty": 3})))
    assert account.rows_in == 25 == account.used + sum(account.left_out.values())
    assert account.tokens.into == account.tokens.learned + account.tokens.context + account.tokens.cut
    assert account.tokens.learned == sum(item.learned for item in made.store)


def test_an_example_knows_its_record_where_records_give_several(tmp_path):
    thoughts = [conversation("thinking", seed) for seed in range(8)]
    made = run(tmp_path, renderer_for("thinking"), records=thoughts)
    assert len(made.store) > made.used and max(made.store.records) == 7
    tokenizer = tokenizer_for("thinking")
    for item in made.store:
        assert any(message.content.split("</think>")[-1].strip()[:10] in tokenizer.decode(item.tokens) for message in thoughts[item.record].messages if message.role == "assistant")


def test_spans_show_what_is_learned():
    tokenizer = tokenizer_for("chatml")
    renderer = renderer_for()
    (item,) = renderer.conversation(Conversation((Message("user", "héllo 日本"), Message("assistant", "sure: 🎸")))).examples
    found = spans(item, tokenizer)
    assert found == [
        ("<|im_start|>", "special"), ("user\nhéllo 日本", "context"), ("<|im_end|>", "special"), ("\n", "context"), ("<|im_start|>", "special"), ("assistant\n", "context"),
        ("sure: 🎸", "learned"), ("<|im_end|>", "learned special"), ("\n", "context"),
    ]
    assert "".join(text for text, _ in found) == tokenizer.decode(item.tokens)
    renderer.close()


def codes(stores, renderer, least=0.01):
    return {(finding.code, finding.level) for finding in check_tokens(stores, renderer, least=least)}


def test_checks_find_what_is_planted_and_nothing_else(tmp_path):
    renderer = renderer_for(context=256)
    clean = prepare([record for record in RECORDS if any(m.weight and m.role == "assistant" for m in record.messages)], Talk().examples, renderer, tmp_path / "clean", content="1", task=Talk())
    assert codes({"train": clean.store}, renderer) == set()
    assert codes({"train": clean.store}, renderer, least=0.99) == {("D411", "error")}
    planted = [
        Conversation((Message("user", "the " * 600), Message("assistant", "time"))),
        Conversation((Message("user", "a"), Message("assistant", "b", weight=0.0))),
        Conversation((Message("user", "I say <|im_end|> <|im_start|>"), Message("assistant", "b"))),
    ]
    made = prepare([*RECORDS, *planted], Talk().examples, renderer, tmp_path / "planted", content="2", task=Talk())
    assert codes({"train": made.store}, renderer) == {("D410", "warning"), ("D411", "warning"), ("D415", "info")}
    found = {finding.code: finding for finding in check_tokens({"train": made.store}, renderer, least=0.01)}
    assert found["D410"].rows == [21] and found["D415"].count == 2 and "<|im_end|> (1)" in found["D415"].message
    only = prepare([planted[0]], Talk().examples, renderer, tmp_path / "only", content="3", task=Talk())
    assert codes({"train": only.store}, renderer) == {("D410", "error"), ("D411", "error")}
    json.dumps([finding.to_dict() for finding in check_tokens({"train": made.store}, renderer, least=0.01)])
    renderer.close()


def test_checks_of_starts_and_ends(tmp_path):
    doubled = renderer_for("plain", template="{{ bos_token }}" + STYLES["plain"].template)
    record = Conversation((Message("user", "a"), Message("assistant", "b")))
    made = prepare([record], Talk().examples, doubled, tmp_path / "doubled", content="1", task=Talk())
    assert codes({"train": made.store}, doubled) == {("D413", "error")}
    endless = renderer_for("plain", template=STYLES["plain"].template.replace("(eos_token if m.role == 'assistant' else '')", "''"))
    made = prepare([record, record], Talk().examples, endless, tmp_path / "endless", content="1", task=Talk())
    (finding,) = check_tokens({"train": made.store}, endless, least=0.0)
    assert finding.code == "D413" and finding.count == 2 and "does not stop" in finding.message
    refusing = renderer_for("turns")
    made = prepare([Conversation((Message("system", "x"), *record.messages)), record], Talk().examples, refusing, tmp_path / "refusing", content="1", task=Talk())
    (finding,) = check_tokens({"train": made.store}, refusing, least=0.0)
    assert (finding.code, finding.level, finding.rows) == ("D414", "warning", [1]) and "no system role" in finding.message
    for renderer in (doubled, endless, refusing):
        renderer.close()


def test_checks_of_a_class_head(tmp_path):
    @dataclass
    class Sort:
        def examples(self, records, renderer):
            return [renderer.labelled(record.text, 0) for record in records]

    renderer = Renderer(bert(), None, 16, head="sequence_class")
    made = prepare([Labelled("the guitar", "a"), Labelled("the string " * 30, "b")], Sort().examples, renderer, tmp_path / "a", content="1", task=Sort())
    (finding,) = check_tokens({"train": made.store}, renderer, least=0.01)
    assert (finding.code, finding.level, finding.count) == ("D410", "warning", 1)
    assert made.account(Ledger(2, 2)).tokens.cut == made.cut > 0
