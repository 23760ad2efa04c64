"""What is minimised, one file each."""
from luthier.objectives.distill import Distill
from luthier.objectives.dpo import DPO
from luthier.objectives.grpo import GRPO
from luthier.objectives.kto import KTO
from luthier.objectives.orpo import ORPO
from luthier.objectives.ppo import PPO
from luthier.objectives.reward import Reward
from luthier.objectives.sft import SFT

OBJECTIVES = {"sft": SFT, "dpo": DPO, "kto": KTO, "orpo": ORPO, "reward": Reward, "grpo": GRPO, "ppo": PPO, "distill": Distill}
