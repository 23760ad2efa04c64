"""How weights change, one file each. The members are light: torch and PEFT are imported when a method is applied."""
from luthier.methods.adapter import Adapter
from luthier.methods.dora import DoRA
from luthier.methods.full import Full
from luthier.methods.ia3 import IA3
from luthier.methods.layers import Layers
from luthier.methods.lora import LoRA
from luthier.methods.method import Method
from luthier.methods.prefix import Prefix
from luthier.methods.prompt import Prompt
from luthier.methods.qlora import QLoRA

METHODS: dict[str, type[Method]] = {
    "full": Full, "lora": LoRA, "dora": DoRA, "qlora": QLoRA, "adapter": Adapter, "prefix": Prefix, "prompt": Prompt, "ia3": IA3, "layers": Layers,
}

__all__ = ["METHODS", "Method"]
