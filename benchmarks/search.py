"""Does the search beat random draws at the same budget of optimizer steps? Sample tickets on a small base with fresh weights, over several seeds.

    python benchmarks/search.py [--seeds 10] [--steps 300] [--state FILE]

For each seed both ways spend the same number of steps: `luthier train --search` as it ships (the recipe as it stands, then the tree-structured Parzen
estimator, with successive halving) against random draws that run to their end. Prints the best validation loss of each and the paired difference with its 95 % interval; positive means that the search is better. What FILE holds is not
measured again, so that the whole can be done in pieces.
"""
import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from luthier.data import samples
from luthier.evaluation.statistics import difference
from luthier.metrics.metric import mean
from luthier.runs import folder as runs
from luthier.runs.events import silent
from luthier.verbs import search
from luthier.verbs.stages import open_recipe
from luthier.verbs.stopping import Stopping


def make_base(folder: Path) -> Path:
    """A two-layer Llama with random weights over the sample's own words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|begin|>", "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = [row["text"] for row in samples.generate("tickets", rows=400, seed=9)]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=800, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    template = (
        "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>"
        "{% endgeneration %}{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1], pad_token=special[2], model_max_length=160, chat_template=template)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=len(fast), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=160,
        bos_token_id=0, eos_token_id=1, pad_token_id=2, tie_word_embeddings=True,
    )).save_pretrained(folder)
    return folder


def spent(run) -> int:
    """Optimizer steps of all trials of a run."""
    return sum(1 for path in (run.path / "trials").glob("*/metrics.jsonl") for line in path.read_text().splitlines() if json.loads(line)["kind"] == "train")


def best(recipe, *, sampler: str, halving: bool, budget: int, seed: int) -> float:
    """The least validation loss that a way of searching finds within its budget."""
    optuna = search.library()
    run = runs.create("", stem=f"{sampler}-{seed}")
    with run.lock(), Stopping() as stopping:
        study = search.open_study(optuna, run, sampler, halving, seed)
        if halving:
            search.start_at(study, recipe)
        while spent(run) < budget:
            study.optimize(lambda trial: search.one_trial(optuna, run, recipe, trial, stopping, silent), n_trials=1)
    return min(trial.intermediate_values[step] for trial in study.trials for step in trial.intermediate_values)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--state", type=Path, help="where each seed's figures are kept")
    given = parser.parse_args()
    state = given.state and given.state.resolve()
    kept = json.loads(state.read_text()) if state and state.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        data = samples.write("tickets", kind="tickets", rows=240, seed=1)
        base = make_base(Path(folder) / "base")
        recipe, _ = open_recipe(data, {
            "model": str(base), "task": "classification", "method": "full", "training.threads": 1, "training.precision": "fp32", "training.validation_rows": 1,
            "training.evaluate_every": 8, "training.early_stopping": 0, "data.validation": 0.25, "data.test": 0.05,
        }, silent)
        found = {"tpe": [], "random": []}
        for seed in range(given.seeds):
            if (name := f"{given.steps} steps, seed {seed}") not in kept:
                kept[name] = [best(recipe, sampler=sampler, halving=halving, budget=given.steps, seed=seed) for sampler, halving in (("tpe", True), ("random", False))]
                if state:
                    state.write_text(json.dumps(kept))
            found["tpe"].append(kept[name][0])
            found["random"].append(kept[name][1])
            print(f"seed {seed}: search {kept[name][0]:.4f}, random {kept[name][1]:.4f}", flush=True)
        result = difference(*(mean("loss", found[name], higher_is_better=False) for name in ("tpe", "random")), kind="percentile")
        print(f"search better by {result.value:+.4f} nats (95 % interval {result.low:+.4f} to {result.high:+.4f}; {result.test}, p = {result.p_value:.3f}) over {given.seeds} seeds of {given.steps} steps")


if __name__ == "__main__":
    main()
