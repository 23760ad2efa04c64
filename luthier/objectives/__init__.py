"""What is minimised, one file each."""
from luthier.objectives.sft import SFT

OBJECTIVES = {"sft": SFT}
