"""Text from an encoder-decoder: the source is read once, the answer is written greedily with a cache of keys and values.

Sources of like length share a batch, padded on the right and masked; a row's answer does not depend on its company.

B rows, T tokens written, S tokens read, V vocabulary.
"""
import time
from collections.abc import Sequence

import torch

from luthier.generation.local import Generation
from luthier.models.heads import running, transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.written_heads import start_token
from luthier.preparation.batches import padded

TOKENS_AT_ONCE = 8192


@torch.inference_mode()
def rewrite(language_model: LanguageModel, sources: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[Generation]:
    """The greedy answer to each source, in order."""
    language_model.network.eval()
    found: dict[int, Generation] = {}
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    while order:
        size = max(1, TOKENS_AT_ONCE // (len(sources[order[-1]]) + max_new_tokens))
        group, order = order[-size:], order[:-size]
        began = time.perf_counter()
        rows = written(language_model, [sources[index] for index in group], max_new_tokens)
        seconds = (time.perf_counter() - began) / len(group)
        stops = language_model.stop_tokens
        for index, tokens in zip(group, rows, strict=True):
            text = language_model.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()
            found[index] = Generation(text, tokens, seconds, "stop" if tokens and tokens[-1] in stops else "length")
    return [found[index] for index in range(len(sources))]


def written(language_model: LanguageModel, sources: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
    """The tokens of each answer, its end token included."""
    network, device, stops = transformer_of(language_model.network), language_model.device, language_model.stop_tokens
    source_BS = padded(sources, language_model.pad_token).to(device)
    attend_BS = (torch.arange(source_BS.shape[1])[None] < torch.tensor([len(source) for source in sources])[:, None]).long().to(device)
    tokens: list[list[int]] = [[] for _ in sources]
    active = list(range(len(sources)))
    with running(language_model.network, language_model.head.autocast):
        encoded = network.get_encoder()(input_ids=source_BS, attention_mask=attend_BS)
        hidden_BSD, cache = encoded.last_hidden_state, None
        last_B1 = torch.full((len(sources), 1), start_token(network), device=device)
        for _ in range(max_new_tokens):
            encoded.last_hidden_state = hidden_BSD
            found = network(encoder_outputs=encoded, attention_mask=attend_BS, decoder_input_ids=last_B1, past_key_values=cache, use_cache=True)
            cache, chosen = found.past_key_values, found.logits[:, -1].float().argmax(-1)
            kept = []
            for at, token in enumerate(chosen.tolist()):
                tokens[active[at]].append(token)
                if token not in stops:
                    kept.append(at)
            if not kept:
                break
            if len(kept) < len(active):
                index = torch.tensor(kept, device=device)
                cache.self_attention_cache.batch_select_indices(index)
                cache.cross_attention_cache.batch_select_indices(index)
                hidden_BSD, attend_BS, chosen, active = hidden_BSD[index], attend_BS[index], chosen[index], [active[at] for at in kept]
            last_B1 = chosen[:, None]
    return tokens
