"""An encoder with its head as an ONNX file, and the same file answering through ONNX Runtime as a network would."""
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from luthier.errors import RecipeError
from luthier.models.heads import Runtime, transformer_of
from luthier.models.language_model import LanguageModel

FILE = "model.onnx"


class LogitsOnly(nn.Module):
    """A network that gives its logits as one tensor."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.network(input_ids=input_ids, attention_mask=attention_mask).logits


def write_onnx(network: nn.Module, language_model: LanguageModel, path: Path) -> None:
    """Write a plain float32 encoder; batch and length stay open. RecipeError for decoders."""
    if language_model.head.kind == "causal":
        raise RecipeError("a network that writes text is not exported to ONNX: without its cache of keys it would be slow", code="X110", hint="export it merged or as GGUF")
    import logging

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    plain = LogitsOnly(transformer_of(network)).eval()
    tokens = torch.full((2, 8), language_model.pad_token, dtype=torch.long)
    batch, length = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("length", min=2, max=language_model.context)
    program = torch.onnx.export(
        plain, (tokens, torch.ones_like(tokens)), dynamo=True, input_names=["input_ids", "attention_mask"], output_names=["logits"], verbose=False,
        dynamic_shapes={"input_ids": {0: batch, 1: length}, "attention_mask": {0: batch, 1: length}},
    )
    program.save(str(path))


class RuntimeNetwork(Runtime):
    """An ONNX file as a network that tasks can ask."""

    def __init__(self, path: Path):
        super().__init__()
        import onnxruntime

        self.anchor = nn.Parameter(torch.zeros(1), requires_grad=False)  # says where the network lives, as others do
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None):
        if token_type_ids is not None and token_type_ids.any():
            raise RecipeError("the ONNX file takes one text, and this row has two", code="X110", hint="export it merged")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        logits = self.session.run(["logits"], {"input_ids": input_ids.numpy(), "attention_mask": mask.to(torch.long).numpy()})[0]
        return SimpleNamespace(logits=torch.from_numpy(logits))
