"""Put the pretrained weights into the package: the newest checkpoint that verifies, in bf16, as one safetensors file.

    python -m recipes.spruce.export WORK [FOLDER]
"""
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from luthier.training import checkpoint

SPRUCE = Path(__file__).resolve().parents[2] / "luthier" / "models" / "spruce"


def main(work: Path, target: Path = SPRUCE) -> None:
    folder, state, _ = checkpoint.newest(work)
    weights, _ = checkpoint.tensors_of(folder)
    if target != SPRUCE:
        shutil.copytree(SPRUCE, target, dirs_exist_ok=True)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in sorted(weights.items()) if name != "lm_head.weight"}
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    print(f"step {state.step}: {sum(tensor.numel() for tensor in tensors.values()):,} weights -> {target / 'model.safetensors'}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
