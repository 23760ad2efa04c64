"""Losses and gradients of the preference objectives against TRL's own trainers, on the same random batches.

    python benchmarks/trl_parity.py [BATCHES] [OBJECTIVE ...]

Needs the `bench` extra. Prints, for each objective, the largest difference of the loss and of any gradient entry over BATCHES (1,000) random batches:
random prompts and answers of random lengths through a tiny Llama in float32 on one thread, against a starting model that differs from the model. Differences are relative to the largest entry where that is above 1.
"""
import contextlib
import copy
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from luthier.models.heads import CausalHead, SequenceClassHead
from luthier.models.token_logprobs import token_logprobs
from luthier.objectives import OBJECTIVES
from luthier.objectives.grpo import advantages
from luthier.objectives.rollouts import Graded, Rollout
from luthier.objectives.sequences import Answers, answer_logprobs, stacked

VOCABULARY = 131
DEVICE = torch.device("cpu")
COMMON = {"report_to": [], "use_cpu": True, "bf16": False, "per_device_train_batch_size": 8, "gradient_checkpointing": False, "disable_dropout": True}


def tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({f"t{number}": number for number in range(VOCABULARY)}, unk_token="t3"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="t0", bos_token="t1", eos_token="t2", unk_token="t3")


def network(cls=LlamaForCausalLM, seed: int = 3, **more):
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, **more)
    made = cls(config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def rows_of(draw, count: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Prompts, each with two answers."""
    ids = lambda low, high: draw.integers(4, VOCABULARY, draw.integers(low, high)).tolist()
    return [(ids(2, 12), ids(1, 10), ids(1, 10)) for _ in range(count)]


def weighted(prompt: list[int], answer: list[int]):
    return prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer)


def gradients(model) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def apart(ours, theirs, model_ours, model_theirs) -> tuple[float, float]:
    """Differences of two losses and of their gradients."""
    ours.backward()
    mine = gradients(model_ours)
    theirs.backward()
    other = gradients(model_theirs)
    largest = max(1.0, max(tensor.abs().max().item() for tensor in other.values()))
    return abs(ours.item() - theirs.item()) / max(1.0, abs(theirs.item())), max((mine[name] - other[name]).abs().max().item() for name in other) / largest


class Side:
    """One objective on both sides: subclasses say how TRL's trainer is made and what a batch is."""

    def __init__(self, folder: str):
        self.folder = folder
        self.ours, self.start = network(), network(seed=4)
        self.theirs = copy.deepcopy(self.ours)

    def mean(self, loss):
        return loss.total / loss.count


class DPO(Side):
    settings = {"beta": 0.1}

    def __init__(self, folder: str):
        super().__init__(folder)
        from trl import DPOConfig, DPOTrainer

        config = DPOConfig(output_dir=folder, beta=self.settings["beta"], loss_type=[self.settings.get("loss", "sigmoid")], **COMMON)
        data = Dataset.from_list([{"prompt": "t5 t6", "chosen": "t7", "rejected": "t8"}] * 8)
        self.trainer = DPOTrainer(model=self.theirs, ref_model=copy.deepcopy(self.start), args=config, train_dataset=data, processing_class=tokenizer())
        from luthier.objectives.dpo import PreparedDPO

        self.prepared = PreparedDPO(OBJECTIVES["dpo"](**self.settings), None, CausalHead())

    def step(self, draw):
        rows = rows_of(draw, 4)
        batch = stacked([weighted(prompt, chosen) for prompt, chosen, _ in rows] + [weighted(prompt, rejected) for prompt, _, rejected in rows], 0, DEVICE)
        with torch.no_grad():
            reference_B, _ = answer_logprobs(CausalHead(), self.start, batch)
        ours = self.mean(self.prepared.loss(self.ours, Answers(batch, reference_B)))
        inputs = {"input_ids": batch.tokens_BT, "attention_mask": batch.attend_BT, "completion_mask": batch.weight_BT.long()}
        return apart(ours, self.trainer.compute_loss(self.theirs, inputs), self.ours, self.theirs)


class IPO(DPO):
    settings = {"beta": 0.1, "loss": "ipo"}


class KTO(Side):
    def __init__(self, folder: str):
        super().__init__(folder)
        from trl import KTOConfig, KTOTrainer

        config = KTOConfig(output_dir=folder, beta=0.1, desirable_weight=1.2, undesirable_weight=0.8, **COMMON)
        data = Dataset.from_list([{"prompt": "t5 t6", "completion": "t7", "label": True}, {"prompt": "t5 t7", "completion": "t8", "label": False}] * 8)
        self.trainer = KTOTrainer(model=self.theirs, ref_model=copy.deepcopy(self.start), args=config, train_dataset=data, processing_class=tokenizer())
        from luthier.objectives.kto import PreparedKTO

        self.prepared = PreparedKTO(OBJECTIVES["kto"](beta=0.1, desirable=1.2, undesirable=0.8), SimpleNamespace(head=CausalHead()), {}, {})

    def step(self, draw):
        rows = rows_of(draw, 6)
        batch = stacked([weighted(prompt, answer) for prompt, answer, _ in rows], 0, DEVICE)
        strange = stacked([weighted(prompt, rows[at - 1][1]) for at, (prompt, _, _) in enumerate(rows)], 0, DEVICE)
        good = draw.integers(0, 2, 6)
        with torch.no_grad():
            reference_B, _ = answer_logprobs(CausalHead(), self.start, batch)
            drift = (answer_logprobs(CausalHead(), self.ours, strange)[0] - answer_logprobs(CausalHead(), self.start, strange)[0]).mean().clamp(min=0).item()
        ours = self.mean(self.prepared.loss(self.ours, Answers(replace(batch, label_B=torch.tensor(good)), reference_B, drift)))
        inputs = {
            "input_ids": batch.tokens_BT, "attention_mask": batch.attend_BT, "completion_mask": batch.weight_BT.long(), "label": torch.tensor(good, dtype=torch.bool),
            "KL_input_ids": strange.tokens_BT, "KL_attention_mask": strange.attend_BT, "KL_completion_mask": strange.weight_BT.long(),
        }
        return apart(ours, self.trainer.compute_loss(self.theirs, inputs), self.ours, self.theirs)


class ORPO(Side):
    def __init__(self, folder: str):
        super().__init__(folder)
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        config = ORPOConfig(output_dir=folder, beta=0.1, max_length=64, remove_unused_columns=False, **COMMON)
        data = Dataset.from_list([{"prompt": "t5 t6", "chosen": "t7", "rejected": "t8"}] * 8)
        self.trainer = ORPOTrainer(model=self.theirs, args=config, train_dataset=data, processing_class=tokenizer())
        from luthier.objectives.orpo import PreparedORPO

        self.prepared = PreparedORPO(OBJECTIVES["orpo"](beta=0.1, learn="everything"), None, CausalHead())

    def step(self, draw):
        rows = rows_of(draw, 4)
        sides = [stacked([weighted(row[0], row[which]) for row in rows], 0, DEVICE) for which in (1, 2)]
        batch = stacked([weighted(row[0], row[which]) for which in (1, 2) for row in rows], 0, DEVICE)
        ours = self.mean(self.prepared.loss(self.ours, self.prepared.shared([Answers(batch)])[0]))
        inputs = {}
        for name, side in zip(("chosen", "rejected"), sides, strict=True):
            inputs |= {f"{name}_input_ids": side.tokens_BT, f"{name}_attention_mask": side.attend_BT, f"{name}_labels": torch.where(side.weight_BT > 0, side.tokens_BT, -100)}
        prompt = stacked([(row[0], [0.0] * len(row[0])) for row in rows], 0, DEVICE)
        inputs |= {"prompt_input_ids": prompt.tokens_BT, "prompt_attention_mask": prompt.attend_BT}
        return apart(ours, self.trainer.compute_loss(self.theirs, inputs), self.ours, self.theirs)


class Reward(Side):
    def __init__(self, folder: str):
        from trl import RewardConfig, RewardTrainer

        self.ours = network(LlamaForSequenceClassification, num_labels=1)
        self.theirs = copy.deepcopy(self.ours)
        config = RewardConfig(output_dir=folder, center_rewards_coefficient=0.01, **COMMON)
        data = Dataset.from_list([{"chosen": "t7 t8", "rejected": "t8 t9"}] * 8)
        self.trainer = RewardTrainer(model=self.theirs, args=config, train_dataset=data, processing_class=tokenizer())
        from luthier.objectives.reward import PreparedReward

        self.prepared = PreparedReward(OBJECTIVES["reward"](center=0.01), None, SequenceClassHead())

    def step(self, draw):
        rows = rows_of(draw, 4)
        batch = stacked([weighted(row[0], row[which]) for which in (1, 2) for row in rows], 0, DEVICE)
        ours = self.mean(self.prepared.loss(self.ours, Answers(batch)))
        return apart(ours, self.trainer.compute_loss(self.theirs, {"input_ids": batch.tokens_BT, "attention_mask": batch.attend_BT}), self.ours, self.theirs)


class GRPO(Side):
    settings = {"group_size": 4, "kl": 0.04, "clip_low": 0.2, "clip_high": 0.28}
    theirs_too = {"use_bias_correction_kl": False, "beta": 0.04, "epsilon": 0.2, "epsilon_high": 0.28, "loss_type": "grpo"}

    def __init__(self, folder: str):
        super().__init__(folder)
        from trl import GRPOConfig, GRPOTrainer

        # TRL reads its starting model from where the model came
        self.start.save_pretrained(f"{folder}/start")
        self.theirs.config._name_or_path = f"{folder}/start"
        config = GRPOConfig(output_dir=folder, num_generations=4, max_completion_length=10, temperature=0.9, **self.theirs_too, **COMMON)
        data = Dataset.from_list([{"prompt": "t5 t6"}] * 8)
        self.trainer = GRPOTrainer(model=self.theirs, args=config, train_dataset=data, processing_class=tokenizer(), reward_funcs=lambda completions, **_: [0.0] * len(completions))
        self.trainer.current_gradient_accumulation_steps = 1
        from luthier.objectives.grpo import PreparedGRPO

        self.settings_of = OBJECTIVES["grpo"](**self.settings, temperature=0.9, max_answer_tokens=10)
        self.prepared = PreparedGRPO(self.settings_of, SimpleNamespace(head=CausalHead(), reference=lambda ahead=False: contextlib.nullcontext()), None)

    def step(self, draw):
        rows = [(prompt, answer) for prompt, answer, _ in rows_of(draw, 8)]
        rewards = draw.normal(size=8).round(2).tolist()
        rollout = Rollout(0, [0] * 8, [row[0] for row in rows], [row[1] for row in rows], [[0.0]] * 8, [""] * 8, rewards, [True] * 8)
        advantage, counts = advantages(rollout, self.settings_of)
        batch = stacked([weighted(*row) for row in rows], 0, DEVICE)
        with torch.no_grad():
            read = lambda model: token_logprobs(CausalHead(), model, batch.tokens_BT, batch.weight_BT, batch.attend_BT, temperature=0.9)[0]
            behaviour_BT, reference_BT = read(self.ours), read(self.start)
            behaviour_BT = behaviour_BT + torch.from_numpy(draw.normal(0, 0.3, behaviour_BT.shape)).float() * (batch.weight_BT[:, 1:] != 0)
        tokens = sum(len(answer) for _, answer in rows)
        graded = Graded(batch, torch.tensor(advantage, dtype=torch.float32), torch.tensor(counts), behaviour_BT, reference_BT, 8 / tokens)
        ours = self.mean(self.prepared.loss(self.ours, graded))
        widest = max(len(answer) for _, answer in rows)
        longest = max(len(prompt) for prompt, _ in rows)
        left = lambda values, width, fill=0: torch.tensor([[fill] * (width - len(row)) + list(row) for row in values])
        right = lambda values, width, fill=0: torch.tensor([list(row) + [fill] * (width - len(row)) for row in values])
        mine = lambda value_BT: right([value_BT[at, len(prompt) - 1 : len(prompt) - 1 + len(answer)].tolist() for at, (prompt, answer) in enumerate(rows)], widest, 0.0)
        inputs = {
            "prompt_ids": left([row[0] for row in rows], longest), "prompt_mask": left([[1] * len(row[0]) for row in rows], longest), "completion_ids": right([row[1] for row in rows], widest),
            "completion_mask": right([[1] * len(row[1]) for row in rows], widest), "advantages": torch.tensor(advantage, dtype=torch.float32), "old_per_token_logps": mine(behaviour_BT),
            "ref_per_token_logps": mine(reference_BT), "num_items_in_batch": torch.tensor(float(tokens)),
        }
        self.trainer.args.steps_per_generation = 1
        return apart(ours, self.trainer._compute_loss(self.theirs, inputs), self.ours, self.theirs)


class DAPO(GRPO):
    settings = {**GRPO.settings, "average": "token", "entropy": 0.01, "kl_by_ratio": True}
    theirs_too = {**GRPO.theirs_too, "loss_type": "dapo", "entropy_coef": 0.01, "use_bias_correction_kl": True}


class DrGRPO(GRPO):
    settings = {**GRPO.settings, "average": "constant", "scale": "none"}
    theirs_too = {**GRPO.theirs_too, "loss_type": "dr_grpo", "scale_rewards": "none"}


SIDES = {"dpo": DPO, "ipo": IPO, "kto": KTO, "orpo": ORPO, "reward": Reward, "grpo": GRPO, "dapo": DAPO, "dr_grpo": DrGRPO}


def main(count: int, names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or SIDES:
        with tempfile.TemporaryDirectory() as folder:
            side = SIDES[name](str(Path(folder)))
            draw = np.random.default_rng(11)
            found = [side.step(draw) for _ in range(count)]
        print(f"{name:8} {count:,} batches: loss differs by at most {max(one[0] for one in found):.1e}, gradients by at most {max(one[1] for one in found):.1e}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2:])
