"""Training and fine-tuning: recipes, losses, schedules, the loop, checkpoints."""

from certlip.training.conduct import Conduct as Conduct
from certlip.training.finetune import finetune as finetune
from certlip.training.recipe import Recipe as Recipe
from certlip.training.recipe import load_recipe as load_recipe
from certlip.training.recipe import recipe_for as recipe_for
from certlip.training.recipe import recipe_names as recipe_names
from certlip.training.settings import Settings as Settings
from certlip.training.train import train as train
