"""Memory of QLoRA beside LoRA on a random Llama of 200 M parameters, each in a process of its own.

    python benchmarks/qlora_memory.py

Prints bytes of the weights as the method counts them, resident memory over imports once the base is loaded and the method applied, resident memory
after three steps of 512 tokens, and the peak of the process, loading included.
"""
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def make(folder: Path) -> None:
    """A Llama of 200 M random weights and a byte tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=1024).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"vocab_size": 8192, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 14, "num_attention_heads": 16, "max_position_embeddings": 1024}
    LlamaForCausalLM(LlamaConfig(**shape, num_key_value_heads=16, tie_word_embeddings=True)).save_pretrained(folder)


def measure(folder: str, name: str) -> dict:
    """Load, apply, three steps."""
    import torch

    from luthier.methods import METHODS
    from luthier.models.load import load

    torch.set_num_threads(1)
    imported = status_mib("VmRSS")
    method, language_model = METHODS[name](), load(folder)
    network = language_model.network = method.apply(language_model)
    gc.collect()
    held = status_mib("VmRSS") - imported
    parameters = method.trainable(network)
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-4, fused=True)
    for _ in range(3):
        language_model.head.loss(network.train(), torch.randint(2, 250, (2, 256)), torch.ones(2, 256))[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    weights = method.stored_bytes(network) / 2**20
    return {"method": name, "parameters": language_model.num_parameters, "weights_mib": weights, "held_mib": held, "resident_mib": status_mib("VmRSS"), "peak_mib": status_mib("VmHWM")}


def status_mib(key: str) -> float:
    """What the system says of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[key].split()[0]) / 1024


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        found = [json.loads(subprocess.run([sys.executable, __file__, folder, name], capture_output=True, text=True, check=True).stdout.splitlines()[-1]) for name in ("lora", "qlora")]
    for row in found:
        print({key: round(value) if isinstance(value, float) else value for key, value in row.items()})
    print("qlora / lora:", {key: round(found[1][key] / found[0][key], 3) for key in ("weights_mib", "held_mib", "resident_mib", "peak_mib")})


if __name__ == "__main__":
    main()
