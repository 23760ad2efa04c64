"""Load a saved model or adapter with stock libraries and write its logits: run in a process of its own, in which luthier is never imported.

    python -I freshcheck_script.py REQUEST.json

The request names `folder` (a model or an adapter), `base` (the base's folder, for an adapter), `auto` (the Auto class of Transformers), `labels`
(the number of outputs, 0 where they are words), `base_dtype` (the type in which the base was kept while learning), `probes` (lists of token ids) and `out`, a safetensors file that
receives `tuned.<i>` and, for an adapter, `base.<i>`: float32 logits of probe i. Where the method says so: `plugin`, a file that adds a type of
adapter to PEFT, and `quantised`, the linear layers that stay as they are while all others become NF4.
"""
import importlib.util
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import torch  # noqa: E402 - the variables above must be set before the libraries are loaded
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402


def load_network(request: dict, folder: str) -> torch.nn.Module:
    """A network from a model folder, its weights rounded to `base_dtype` where an adapter was learned on such, in float32."""
    auto = getattr(transformers, request["auto"])
    more = {"num_labels": request["labels"]} if request["labels"] and request["base"] else {}
    dtype = torch.float32
    if "quantised" in request:
        dtype = getattr(torch, request["base_dtype"])
        more["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=request["quantised"],
        )
    network = auto.from_pretrained(folder, dtype=dtype, **more)
    for parameter in network.parameters() if "quantised" in request else ():
        parameter.data = parameter.data.float() if parameter.is_floating_point() else parameter.data
    if request["base"] and request["base_dtype"] != "float32" and "quantised" not in request:
        for parameter in network.parameters():  # not the buffers: rotary frequencies stay exact in memory too
            parameter.data = parameter.data.to(getattr(torch, request["base_dtype"])).float()
    if request["base"] and request["vocabulary"] > network.get_input_embeddings().weight.shape[0]:
        network.resize_token_embeddings(request["vocabulary"])
    return network.eval()


def import_file(path: str) -> None:
    """Run a module by its path."""
    spec = importlib.util.spec_from_file_location("adapter_type", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def logits_of(network: torch.nn.Module, probes: list[list[int]], prefix: str) -> dict[str, torch.Tensor]:
    """Logits of each probe alone."""
    with torch.inference_mode():
        rows = [torch.tensor([probe]) for probe in probes]
        written = [{"decoder_input_ids": row} if network.config.is_encoder_decoder else {} for row in rows]
        return {f"{prefix}.{index}": network(input_ids=row, **more).logits[0].float().contiguous() for index, (row, more) in enumerate(zip(rows, written, strict=True))}


def main(path: str) -> None:
    with open(path, encoding="utf-8") as stream:
        request = json.load(stream)
    torch.set_num_threads(request["threads"])
    transformers.utils.logging.disable_progress_bar()
    network = load_network(request, request["base"] or request["folder"])
    found = {}
    if request["base"]:
        found |= logits_of(network, request["probes"], "base")
        from peft import PeftModel

        if request.get("plugin"):
            import_file(request["plugin"])
        network = PeftModel.from_pretrained(network, request["folder"]).eval()
    found |= logits_of(network, request["probes"], "tuned")
    assert "luthier" not in sys.modules
    save_file(found, request["out"])


if __name__ == "__main__":
    main(sys.argv[1])
