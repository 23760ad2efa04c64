"""Where a result loads, told before training: for every method and kind of base, and never a promise that the method cannot keep."""
from luthier.methods import METHODS
from luthier.methods.homes import homes
from luthier.methods.lora import LoRA
from luthier.models.families import MEMBERS

PROGRAMS = ["Luthier", "PEFT", "Transformers", "vLLM", "Ollama"]
FAMILY = {family.name: family for family in MEMBERS}


def test_every_method_answers_for_every_program():
    for method in METHODS.values():
        for family in MEMBERS:
            found = homes(method(), "causal" if family.kind == "decoder" else "sequence_class", family)
            assert list(found) == PROGRAMS and found["Luthier"] == "yes"
            assert all(words == "yes" or words.startswith(("yes, ", "no, ")) for words in found.values())
            if not method.merges:
                assert all(found[name].startswith("no") for name in ("Transformers", "vLLM", "Ollama"))
            if family.kind != "decoder":
                assert found["vLLM"].startswith("no") and found["Ollama"].startswith("no")


def test_lora_is_an_adapter_in_vllm_up_to_its_limit():
    assert "as an adapter" in homes(LoRA(), "causal", FAMILY["llama"])["vLLM"]
    assert "only up to" in homes(LoRA(rank=1024), "causal", FAMILY["llama"])["vLLM"]
    assert homes(METHODS["dora"](), "causal", FAMILY["llama"])["vLLM"] == "yes, merged"


def test_what_is_special_is_said():
    assert "bottleneck.py" in homes(METHODS["adapter"](), "causal", FAMILY["llama"])["PEFT"] and "NF4" in homes(METHODS["qlora"](), "causal", FAMILY["llama"])["PEFT"]
    assert homes(METHODS["full"](), "causal", FAMILY["llama"])["PEFT"].startswith("no") and homes(METHODS["lora"](), "causal", FAMILY["opt"])["Ollama"].startswith("no, GGUF")
