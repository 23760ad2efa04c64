"""How likely a model finds each of many labels after each prompt, all labels of a prompt in one forward pass.

The labels' tokens form a trie. A row of the batch is the prompt followed by every inner node of the trie once; a node attends to the prompt
and to its own ancestors, at the position it would have in its label. So the prompt is computed once, and a beginning that labels share too.

B prompts, P tokens of the longest prompt, M inner nodes, D width, V vocabulary, L labels.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.errors import RecipeError
from luthier.models.heads import body_of, projection_of, running, transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.logprobs import edge_logprobs


@dataclass(frozen=True)
class Trie:
    """Label tokens with shared beginnings told once."""

    tokens: list[int]
    """Token of each inner node, in an order in which parents come first."""
    parents: list[int]
    """Inner node above each inner node; -1 is the prompt."""
    depths: list[int]
    """How many nodes lie above."""
    sources: list[int]
    """Of each edge: the inner node that predicts, -1 for the prompt; sorted."""
    targets: list[int]
    """Of each edge: the token that is predicted."""
    paths: list[list[int]]
    """Of each label: the edges whose log-probabilities add up to it."""


def build_trie(labels: Sequence[Sequence[int]]) -> Trie:
    """The trie of label token ids. A label without tokens, or two labels with the same, are a RecipeError."""
    if len({tuple(label) for label in labels}) != len(labels) or not all(len(label) for label in labels):
        raise RecipeError("two labels have the same tokens, or one has none", code="R142", hint="rename the labels so that they differ in plain letters")
    inner = sorted({tuple(label[:end]) for label in labels for end in range(1, len(label))}, key=lambda path: (len(path), path))
    number = {path: index for index, path in enumerate(inner)} | {(): -1}
    edges = sorted({(number[tuple(label[:end])], label[end]) for label in labels for end in range(len(label))})
    place = {edge: index for index, edge in enumerate(edges)}
    return Trie(
        tokens=[path[-1] for path in inner], parents=[number[path[:-1]] for path in inner], depths=[len(path) - 1 for path in inner],
        sources=[source for source, _ in edges], targets=[target for _, target in edges],
        paths=[[place[number[tuple(label[:end])], label[end]] for end in range(len(label))] for label in labels],
    )


def score_labels(language_model: LanguageModel, prompts: Sequence[Sequence[int]], labels_tokens: Sequence[Sequence[int]], *, tokens_at_once: int = 4096) -> np.ndarray:
    """Log-probability in nats of every label after every prompt, float64 [N, L]; not normalised over the labels.

    `labels_tokens` holds each label's tokens, its end token included where it counts. A prompt that leaves no room for the longest label is a
    RecipeError.
    """
    trie = build_trie([list(label) for label in labels_tokens])
    longest_label = max(len(label) for label in labels_tokens)
    for index, prompt in enumerate(prompts):
        if not len(prompt) or len(prompt) + longest_label - 1 > language_model.context:
            raise RecipeError(
                f"prompt {index + 1} has {len(prompt)} tokens; beside the longest label there is room for 1 to {language_model.context - longest_label + 1}",
                code="R141", hint="shorten the prompt, or use a base with a longer context",
            )
    language_model.network.eval()
    whole = not supports_trees(language_model, max(map(len, prompts), default=0) + longest_label)
    scores = np.zeros((len(prompts), len(trie.paths)))
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    with torch.inference_mode(), running(language_model.network, language_model.head.autocast):
        while order:
            size = 1 if whole else max(1, tokens_at_once // (len(prompts[order[-1]]) + len(trie.tokens)))
            group, order = order[-size:], order[:-size]
            if whole:
                scores[group[0]] = score_one_by_one(language_model, list(prompts[group[0]]), labels_tokens)
            else:
                edge_BE = score_edges(language_model, [list(prompts[index]) for index in group], trie)
                scores[group] = np.stack([edge_BE[:, path].sum(-1) for path in trie.paths], -1)
    return scores


def supports_trees(language_model: LanguageModel, length: int) -> bool:
    """Whether one mask says all: logits come from body and output layer, and no attention window is shorter than the text."""
    config = transformer_of(language_model.network).config
    window = config.sliding_window if hasattr(config, "sliding_window") else None
    return not language_model.head.whole_logits and projection_of(language_model.network).plain and (window is None or window >= length)


def tree_inputs(prompts: list[list[int]], trie: Trie, pad_token: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [B, P + M], positions [B, P + M] and who attends to whom [B, 1, P + M, P + M] as booleans."""
    num_prompt, num_inner = max(map(len, prompts)), len(trie.tokens)
    lengths_B = torch.tensor([len(prompt) for prompt in prompts])
    tokens = torch.full((len(prompts), num_prompt + num_inner), pad_token)
    for at, prompt in enumerate(prompts):
        tokens[at, : len(prompt)] = torch.tensor(prompt)
    tokens[:, num_prompt:] = torch.tensor(trie.tokens, dtype=torch.long)
    positions = torch.cat([
        torch.arange(num_prompt).expand(len(prompts), -1).minimum(lengths_B[:, None] - 1),
        lengths_B[:, None] + torch.tensor(trie.depths, dtype=torch.long),
    ], 1)
    family = torch.eye(num_inner, dtype=torch.bool)
    for node, parent in enumerate(trie.parents):
        if parent >= 0:
            family[node] |= family[parent]
    attend = torch.zeros(len(prompts), 1, num_prompt + num_inner, num_prompt + num_inner, dtype=torch.bool)
    attend[:, :, :num_prompt, :num_prompt] = torch.ones(num_prompt, num_prompt, dtype=torch.bool).tril()
    attend[:, 0, num_prompt:, :num_prompt] = (torch.arange(num_prompt) < lengths_B[:, None])[:, None]
    attend[:, :, num_prompt:, num_prompt:] = family
    return tokens, positions, attend


def score_edges(language_model: LanguageModel, prompts: list[list[int]], trie: Trie) -> np.ndarray:
    """Log-probability of every edge of the trie after every prompt [B, E]."""
    network, device = language_model.network, language_model.device
    tokens, positions, attend = (tensor.to(device) for tensor in tree_inputs(prompts, trie, language_model.pad_token))
    hidden = body_of(network)(input_ids=tokens, attention_mask=attend, position_ids=positions, use_cache=False).last_hidden_state
    num_prompt, num_inner = tokens.shape[1] - len(trie.tokens), len(trie.tokens)
    last = hidden[torch.arange(len(prompts), device=device), torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)]
    predicting = torch.cat([last[:, None], hidden[:, num_prompt:]], 1).flatten(0, 1)
    base = torch.arange(len(prompts), device=device)[:, None] * (num_inner + 1)
    sources = (base + torch.tensor(trie.sources, device=device) + 1).flatten()
    targets = torch.tensor(trie.targets, device=device).repeat(len(prompts))
    layer = projection_of(network).layer
    found = edge_logprobs(predicting, layer.weight, sources, targets, bias_V=layer.bias, transform=language_model.head.transform)
    return found.view(len(prompts), -1).double().cpu().numpy()


def score_one_by_one(language_model: LanguageModel, prompt: list[int], labels_tokens: Sequence[Sequence[int]]) -> np.ndarray:
    """Log-probability of every label [L] by a plain pass over prompt and label: for the networks that a tree mask does not fit."""
    found = []
    for label in labels_tokens:
        tokens_BT = torch.tensor([[*prompt, *label]], device=language_model.device)
        weight_BT = torch.zeros_like(tokens_BT)
        weight_BT[:, len(prompt):] = 1
        found.append(language_model.head.token_logprobs(language_model.network, tokens_BT, weight_BT).sum().item())
    return np.array(found)
