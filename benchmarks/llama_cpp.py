"""What llama.cpp makes of an exported GGUF file, beside the run that it was made of: ids, logits and greedy texts.

    luthier export RUN --to gguf && python benchmarks/llama_cpp.py RUN [FILE]

Needs `llama-cpp-python`, which is built from source in about 17 minutes; without it this says so and ends.
"""
import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch

TEXTS = ("The violin stands by the door.", "Where is my order?", "Grüße, 你好 🎻", "  two  spaces  ", "1,000 and 3.14")
TOKENS = 24


def main() -> None:
    if importlib.util.find_spec("llama_cpp") is None:
        print("skipped: llama-cpp-python is not installed (pip install llama-cpp-python, about 17 minutes)")
        return
    from llama_cpp import Llama

    from luthier.generation.local import generate
    from luthier.verbs.opening import open_run

    opened = open_run(sys.argv[1], lambda event: None)
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else sorted((opened.run.path / "export").glob("gguf-*/*.gguf"))[-1]
    theirs = Llama(model_path=str(path), n_ctx=512, logits_all=True, verbose=False)
    model, same_ids, same_texts, largest = opened.language_model, 0, 0, 0.0
    for text in TEXTS:
        ours = opened.renderer.text(text)
        plain = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        same_ids += theirs.tokenize(text.encode(), add_bos=False, special=False) == list(plain)
        theirs.reset()
        theirs.eval(list(ours))
        with torch.inference_mode():
            logits = model.network(input_ids=torch.tensor([list(ours)])).logits[0].float().numpy()
        largest = max(largest, float(np.abs(theirs.scores[: len(ours)] - logits).max()))
        wanted = generate(model, [list(ours)], max_new_tokens=TOKENS)[0].tokens
        found = []
        for token in theirs.generate(list(ours), temp=0.0):
            found.append(token)
            if token in model.stop_tokens or len(found) == TOKENS:
                break
        same_texts += found == list(wanted)
    print(f"{path.name}: ids {same_ids} of {len(TEXTS)}, greedy texts {same_texts} of {len(TEXTS)}, largest logit difference {largest:.2g}")


if __name__ == "__main__":
    main()
