"""Kinds of adapters that many rows of a batch can wear at once, one file each: by PEFT's name of the type."""
from luthier.methods.stacks.bottleneck import BottleneckStack
from luthier.methods.stacks.ia3 import IA3Stack
from luthier.methods.stacks.lora import LoraStack
from luthier.methods.stacks.stack import Stack

STACKS: dict[str, type[Stack]] = {"LORA": LoraStack, "BOTTLENECK": BottleneckStack, "IA3": IA3Stack}
