"""Where a result will load and where not, told before training: Luthier, PEFT, Transformers, vLLM, Ollama."""
from luthier.methods.method import Method
from luthier.models.families import Family

VLLM_RANKS = 512
"""Largest rank of an adapter that vLLM takes."""


def homes(method: Method, head: str, family: Family) -> dict[str, str]:
    """By program, `yes`, `yes, ...` with what must be done, or `no, ...` with the reason."""
    writes = head == "causal"
    merged = "merged" if method.base_is_frozen else "as it is"
    plain = f"yes, {merged}" if method.merges else "no, it cannot be merged into the weights"
    return {
        "Luthier": "yes",
        "PEFT": f"yes{method.in_peft}" if method.base_is_frozen else "no, it is a whole model",
        "Transformers": plain,
        "vLLM": vllm(method, plain) if writes and family.kind == "decoder" else "no, it serves decoders that write",
        "Ollama": (f"{plain}, exported to GGUF" if method.merges and family.gguf else plain if not method.merges else "no, GGUF has no form of this family")
        if writes else "no, it serves decoders that write",
    }


def vllm(method: Method, plain: str) -> str:
    """As an adapter where vLLM knows the type, else merged."""
    if not method.adapter_in_vllm:
        return plain
    rank = max([method.rank, *(method.ranks or {}).values()])
    return "yes, as an adapter or merged" if rank <= VLLM_RANKS else f"{plain}; as an adapter only up to rank {VLLM_RANKS}"
