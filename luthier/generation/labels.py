"""How likely a model finds each of many labels after each prompt, the prompt computed once and a beginning that labels share once.

The labels' tokens form a trie. A prompt runs first and its keys and values are kept; then come the inner nodes of the trie, each attending
to the prompt and to its own ancestors, at the position it would have in its label. Nodes run in parts of neighbouring labels: a node pays
for every key beside it, also for those that it must not see.

B prompts, P tokens of the longest prompt, M inner nodes, D width, V vocabulary, L labels.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from luthier.errors import RecipeError
from luthier.models.heads import body_of, projection_of, running, transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.logprobs import edge_logprobs

PART_NODES = 96
"""About so many inner nodes run together: enough to fill a product, few enough that attention among them stays cheap."""


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


def parts_of(labels: Sequence[Sequence[int]], most_nodes: int) -> list[list[int]]:
    """Label numbers in parts of neighbours whose tries have at most so many inner nodes; a part has at least one label."""
    parts: list[list[int]] = []
    nodes: set[tuple[int, ...]] = set()
    for number in sorted(range(len(labels)), key=lambda number: tuple(labels[number])):
        own = {tuple(labels[number][:end]) for end in range(1, len(labels[number]))}
        if not parts or len(nodes | own) > most_nodes:
            parts.append([])
            nodes = set()
        parts[-1].append(number)
        nodes |= own
    return parts


def score_labels(language_model: LanguageModel, prompts: Sequence[Sequence[int]], labels_tokens: Sequence[Sequence[int]], *, tokens_at_once: int = 4096) -> np.ndarray:
    """Log-probability in nats of every label after every prompt, float64 [N, L]; not normalised over the labels.

    `labels_tokens` holds each label's tokens, its end token included where it counts. `tokens_at_once` bounds a batch: rows times prompt
    and nodes. A prompt that leaves no room for the longest label is a RecipeError.
    """
    labels = [list(label) for label in labels_tokens]
    build_trie(labels)  # refuses what no trie can tell apart
    refuse_long(prompts, max(map(len, labels)), language_model.context)
    language_model.network.eval()
    scores = np.zeros((len(prompts), len(labels)))
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    with torch.inference_mode(), running(language_model.network, language_model.head.autocast):
        whole = bool(order) and not supports_trees(language_model, labels, list(prompts[order[-1]]))
        while order:
            size = 1 if whole else max(1, tokens_at_once // (len(prompts[order[-1]]) + PART_NODES))
            group, order = order[-size:], order[:-size]
            texts = [list(prompts[index]) for index in group]
            scores[group] = score_one_by_one(language_model, texts[0], labels) if whole else score_group(language_model, texts, labels)
    return scores


def refuse_long(prompts: Sequence[Sequence[int]], longest_label: int, context: int) -> None:
    """RecipeError for a prompt that is empty or leaves no room for the longest label."""
    for index, prompt in enumerate(prompts):
        if not len(prompt) or len(prompt) + longest_label - 1 > context:
            raise RecipeError(
                f"prompt {index + 1} has {len(prompt)} tokens; beside the longest label there is room for 1 to {context - longest_label + 1}",
                code="R141", hint="shorten the prompt, or use a base with a longer context",
            )


def supports_trees(language_model: LanguageModel, labels: list[list[int]], prompt: list[int]) -> bool:
    """Whether masks and positions say all: tried on a few labels after the end of a prompt, against the plain computation.

    Some networks have windows, take distances from the mask, or give logits that body and output layer do not explain; for them the
    answer is no, and every label is run by itself.
    """
    config = transformer_of(language_model.network).config
    window = config.sliding_window if hasattr(config, "sliding_window") else None
    if language_model.head.whole_logits or not projection_of(language_model.network).plain or window is not None and window < len(prompt) + max(map(len, labels)):
        return False
    few, texts = labels[:3], [prompt[-12:], prompt[-5:]]
    ours = score_group(language_model, texts, few)
    theirs = np.stack([score_one_by_one(language_model, text, few) for text in texts])
    exact = language_model.head.autocast is None and next(language_model.network.parameters()).dtype == torch.float32
    return bool((np.abs(ours - theirs) <= (1e-3 if exact else 3e-2) * np.maximum(1, np.abs(theirs))).all())


def score_group(language_model: LanguageModel, prompts: list[list[int]], labels: list[list[int]]) -> np.ndarray:
    """Scores [B, L] of prompts that share a batch."""
    cache, last_BD = prefill(language_model, prompts)
    scores = np.zeros((len(prompts), len(labels)))
    for part in parts_of(labels, PART_NODES):
        trie = build_trie([labels[number] for number in part])
        edge_BE = score_edges(language_model, [len(prompt) for prompt in prompts], trie, cache, last_BD)
        if trie.tokens:
            cache.crop(-len(trie.tokens))
        scores[:, part] = np.stack([edge_BE[:, path].sum(-1) for path in trie.paths], -1)
    return scores


def prefill(language_model: LanguageModel, prompts: list[list[int]]) -> tuple[DynamicCache, Tensor]:
    """Keys and values of all prompts, padded on the right, and the hidden states of their last tokens [B, D]."""
    device, lengths_B = language_model.device, torch.tensor([len(prompt) for prompt in prompts])
    tokens_BP = torch.full((len(prompts), int(lengths_B.max())), language_model.pad_token)
    for at, prompt in enumerate(prompts):
        tokens_BP[at, : len(prompt)] = torch.tensor(prompt)
    cache = DynamicCache()
    positions = torch.arange(tokens_BP.shape[1], device=device).expand(len(prompts), -1)
    # No token sees one to its right, so filling on the right needs no mask here; the nodes are kept from it by theirs.
    output = body_of(language_model.network)(input_ids=tokens_BP.to(device), position_ids=positions, past_key_values=cache, use_cache=True)
    return cache, output.last_hidden_state[torch.arange(len(prompts), device=device), (lengths_B - 1).to(device)]


def node_inputs(lengths: Sequence[int], trie: Trie) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [B, M], positions [B, M] and who attends to whom [B, 1, M, P + M] as booleans.

    P is the longest prompt's length, not the cache's: what a method puts before every text is the method's own to show.
    """
    num_inner = len(trie.tokens)
    lengths_B = torch.tensor(lengths)
    tokens = torch.tensor(trie.tokens, dtype=torch.long).expand(len(lengths), -1)
    positions = lengths_B[:, None] + torch.tensor(trie.depths, dtype=torch.long)
    family = torch.eye(num_inner, dtype=torch.bool)
    for node, parent in enumerate(trie.parents):
        if parent >= 0:
            family[node] |= family[parent]
    prompt = (torch.arange(max(lengths)) < lengths_B[:, None])[:, None].expand(-1, num_inner, -1)
    return tokens, positions, torch.cat([prompt, family.expand(len(lengths), -1, -1)], 2)[:, None]


def score_edges(language_model: LanguageModel, lengths: Sequence[int], trie: Trie, cache: DynamicCache, last_BD: Tensor) -> np.ndarray:
    """Log-probability of every edge of the trie after every prompt [B, E]; the cache takes the nodes' keys and values."""
    network, device, num_inner = language_model.network, language_model.device, len(trie.tokens)
    predicting = last_BD[:, None]
    if num_inner:
        tokens, positions, attend = (tensor.to(device) for tensor in node_inputs(lengths, trie))
        output = body_of(network)(input_ids=tokens, attention_mask=attend, position_ids=positions, past_key_values=cache, use_cache=True)
        predicting = torch.cat([predicting, output.last_hidden_state], 1)
    base = torch.arange(len(lengths), device=device)[:, None] * (num_inner + 1)
    sources = (base + torch.tensor(trie.sources, device=device) + 1).flatten()
    targets = torch.tensor(trie.targets, device=device).repeat(len(lengths))
    layer = projection_of(network).layer
    found = edge_logprobs(predicting.flatten(0, 1), layer.weight, sources, targets, bias_V=layer.bias, transform=language_model.head.transform)
    return found.view(len(lengths), -1).double().cpu().numpy()


def score_one_by_one(language_model: LanguageModel, prompt: list[int], labels_tokens: Sequence[Sequence[int]]) -> np.ndarray:
    """Log-probability of every label [L] by a plain pass over prompt and label: for the networks that a tree mask does not fit."""
    found = []
    for label in labels_tokens:
        tokens_BT = torch.tensor([[*prompt, *label]], device=language_model.device)
        weight_BT = torch.zeros_like(tokens_BT)
        weight_BT[:, len(prompt):] = 1
        found.append(language_model.head.token_logprobs(language_model.network, tokens_BT, weight_BT).sum().item())
    return np.array(found)
