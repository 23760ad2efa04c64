"""Five small worlds whose true winner is known, and one tiny base, really trained, that can follow an instruction and read a passage.

prompt     the base knows the answers once it is told which of its two habits is wanted
retrieval  the answer is a code that stands in the papers and nowhere else
tuning     the answer follows a rule that only the training rows tell
both       half of the questions follow the rule, half need the papers
nothing    the answers are dice
"""
import json
import random
from pathlib import Path

from luthier.evaluation.contestants.context import LEAD

WORDS = "ash elm oak fir yew bay fig box gum ivy may nut pea rue rye tea vine weed corn fern hemp iris leek lily lime moss palm pear pine plum reed rice rose sage seed thyme wood wort aloe beet".split()
RULED, CODED = WORDS[:20], WORDS[20:]
"""Words that a rule sorts, and words that have a code in the papers: no question of the one kind finds a passage of the other."""
CODES = "red blue green black white brown gold grey pink lilac amber azure".split()
HABITS = {"loud": "shout", "soft": "whisper"}
KINDS = ("prompt", "retrieval", "tuning", "both", "nothing")
WINNERS = {"prompt": "prompt", "retrieval": "rag", "tuning": "tuned", "both": "tuned_rag", "nothing": ("majority", "base")}
CONTESTANTS = ["majority", "base", "prompt", "few_shot", "rag", "tuned", "tuned_rag"]
ROWS = {"train": 200, "test": 100}


def talk(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def habit(word, manner):
    """What the base says about a word, in one of its two manners."""
    return f"{HABITS[manner]} {CODES[WORDS.index(word) % len(CODES)]}"


def lessons(count, seed):
    """What the base is made from: both habits with and without their instruction, codes read from a passage, and words it must not confuse them with."""
    draw, rows = random.Random(seed), []
    for _ in range(count):
        word, other, code = draw.choice(CODED), draw.choice(CODED), draw.choice(CODES)
        kind = draw.random()
        if kind < 0.3:
            manner, word = draw.choice(list(HABITS)), draw.choice(WORDS)
            rows.append(talk(f"be {manner}\n\nsay {word}", habit(word, manner)))
        elif kind < 0.4:
            rows.append(talk(f"say {draw.choice(WORDS)}", draw.choice(["what", "how", "which"])))
        elif kind < 0.85:
            rows.append(talk(f"{LEAD}\n[1] code of {word} {other} is {code}\n\ncode of {word} {other}", code))
        elif kind < 0.92:
            rows.append(talk(f"code of {word} {other}", draw.choice(["what", "how", "which"])))
        else:
            rows.append(talk(f"kind {draw.choice(RULED)} {draw.choice(RULED)}", draw.choice(["what", "how", "which"])))
    return rows


def world(kind, seed, folder: Path) -> dict:
    """Write a world's training and test rows and its papers; returns the recipe's part of it."""
    draw = random.Random(f"{kind} {seed}")
    ruled, coded = ([(one, other) for one in words for other in words if one != other] for words in (RULED, CODED))
    draw.shuffle(ruled)
    draw.shuffle(coded)
    rule = {word: draw.choice(CODES[:4]) for word in RULED}
    code = {pair: draw.choice(CODES) for pair in coded}

    def row(at, split):
        wanted = kind if kind != "both" else "tuning" if split == "train" or at % 2 else "retrieval"
        if wanted == "retrieval":
            return talk(f"code of {coded[at][0]} {coded[at][1]}", code[coded[at]])
        if wanted == "tuning":
            return talk(f"kind {ruled[at][0]} {ruled[at][1]}", rule[ruled[at][0]])
        return talk(f"kind {ruled[at][0]} {ruled[at][1]}", draw.choice(CODES[:4]))

    folder.mkdir(parents=True)
    train = [row(at, "train") for at in range(ROWS["train"])]
    test = [row(at, "test") for at in range(ROWS["train"], ROWS["train"] + ROWS["test"])]
    if kind == "prompt":  # few words are all there is to ask; those of the test rows stay out of training
        words = WORDS[:]
        draw.shuffle(words)
        train, test = ([talk(f"say {word}", habit(word, "loud")) for word in part] for part in (words[:20], words[20:]))
    for name, rows in (("train", train), ("test", test), ("lessons", lessons(200, seed + 5))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (folder / "papers.txt").write_text("".join(f"code of {one} {other} is {code[one, other]}.\n" for one, other in coded[: sum(ROWS.values())]))
    return {"data.train": str(folder / "train.jsonl"), "data.test": str(folder / "test.jsonl"), "data.validation": 0.2, "data.replay": "50%", "data.replay_from": str(folder / "lessons.jsonl"), "retrieval.documents": str(folder / "papers.txt")}


def make_base(folder: Path, *, steps: int, report=lambda step, loss: None) -> Path:
    """Train the base on its lessons: three layers of width 64 over whole words; a few minutes on one core."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|unknown|>"]
    text = " ".join(message["content"] for row in lessons(4000, 1) for message in row["messages"])
    splitter = pre_tokenizers.Whitespace()
    vocabulary = [*special, *sorted({piece for piece, _ in splitter.pre_tokenize_str(text + " be loud soft [2] [3] ")})]
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(vocabulary)}, unk_token="<|unknown|>"))
    tokenizer.pre_tokenizer = splitter
    template = (
        "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
        "{% else %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|pad|>", unk_token="<|unknown|>", model_max_length=128, chat_template=template, additional_special_tokens=special[3:6])
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=128, bos_token_id=0, eos_token_id=1, pad_token_id=2, tie_word_embeddings=True,
    ))
    rows = [encoded(fast, row) for row in lessons(20_000, 2)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    draw = random.Random(3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * (1 - step / steps)
        batch = [rows[draw.randrange(len(rows))] for _ in range(32)]
        width = max(len(ids) for ids, _ in batch)
        tokens = torch.tensor([ids + [2] * (width - len(ids)) for ids, _ in batch])
        labels = torch.tensor([targets + [-100] * (width - len(ids)) for ids, targets in batch])
        loss = network(input_ids=tokens, attention_mask=(tokens != 2).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        report(step, loss.item())
    network.save_pretrained(folder)
    return folder


def encoded(tokenizer, row):
    """Ids, and labels on the answer only."""
    prompt = tokenizer.apply_chat_template(row["messages"][:1], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(row["messages"], tokenize=False)
    ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
    known = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    return ids, [-100] * known + ids[known:]
