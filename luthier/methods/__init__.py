"""How weights change, one file each. The members are light: torch and PEFT are imported when a method is applied."""
from luthier.methods.dora import DoRA
from luthier.methods.full import Full
from luthier.methods.ia3 import IA3
from luthier.methods.lora import LoRA
from luthier.methods.method import Method

METHODS: dict[str, type[Method]] = {"full": Full, "lora": LoRA, "dora": DoRA, "ia3": IA3}

__all__ = ["METHODS", "Method"]
