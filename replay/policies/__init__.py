"""Stop policies, and the one table of them: adding a policy is its module and a line here.

Installed packages add policies by entry points, see `replay.policies.table`.
"""

from __future__ import annotations

from replay.policies.across import AcrossRuns
from replay.policies.base import Decision, Policy, Trace
from replay.policies.modify import MODIFIERS
from replay.policies.param import format_parameter, format_value, param
from replay.policies.presets.allennlp import AllenNLP
from replay.policies.presets.axolotl import Axolotl
from replay.policies.presets.catboost import CatBoost
from replay.policies.presets.fairseq import Fairseq
from replay.policies.presets.fastai import Fastai
from replay.policies.presets.ignite import Ignite
from replay.policies.presets.keras import Keras
from replay.policies.presets.lightgbm import LightGBM
from replay.policies.presets.lightning import Lightning
from replay.policies.presets.llamafactory import LlamaFactory
from replay.policies.presets.opennmt import OpenNMT
from replay.policies.presets.optuna import OptunaPatient
from replay.policies.presets.optuna_pruners import (
    OptunaHalving,
    OptunaHyperband,
    OptunaMedian,
    OptunaPercentile,
)
from replay.policies.presets.ray_plateau import RayPlateau
from replay.policies.presets.ray_schedulers import RayAsha, RayMedian
from replay.policies.presets.sklearn import SklearnHGB, SklearnMLP, SklearnSGD
from replay.policies.presets.syne_tune import SyneAsha, SyneMedian
from replay.policies.presets.torch_plateau import TorchPlateau
from replay.policies.presets.transformers import Transformers
from replay.policies.presets.transformers_4_46 import Transformers446
from replay.policies.presets.tutorial import Tutorial
from replay.policies.presets.ultralytics import Ultralytics
from replay.policies.presets.xgboost import XGBoost
from replay.policies.rules.asha import Asha, Hyperband
from replay.policies.rules.budget import Budget, OneEpoch
from replay.policies.rules.extrapolate import Extrapolate
from replay.policies.rules.gap import Gap
from replay.policies.rules.grades import Grades
from replay.policies.rules.lora import Adapter, Drift
from replay.policies.rules.median import Median
from replay.policies.rules.never import Never
from replay.policies.rules.noise import Noise, Slope
from replay.policies.rules.patience import Patience
from replay.policies.rules.prechelt import Gl, Pq, Up
from replay.policies.rules.threshold import Divergence, Nonfinite, Target
from replay.policies.rules.top_k import TopK
from replay.policies.table import PolicyTable

__all__ = [
    "ACROSS",
    "POLICIES",
    "RULE_GROUPS",
    "AcrossRuns",
    "Decision",
    "Policy",
    "Trace",
    "format_parameter",
    "format_value",
    "param",
]

#: Names that stand for several policies in ``--grid rule=…``. None stands for policies of other packages.
RULE_GROUPS = ("all", "presets", "own")

#: The policies that compare runs with each other, by name. They are replayed on a set of runs only.
ACROSS: dict[str, type[AcrossRuns]] = {
    policy_class.name: policy_class
    for policy_class in (
        Asha,
        Hyperband,
        Median,
        TopK,
        OptunaHalving,
        OptunaHyperband,
        OptunaMedian,
        OptunaPercentile,
        RayAsha,
        RayMedian,
        SyneAsha,
        SyneMedian,
    )
}

POLICIES = PolicyTable(
    (
        Patience,
        Target,
        Divergence,
        Nonfinite,
        Noise,
        Slope,
        Gl,
        Pq,
        Up,
        Gap,
        Extrapolate,
        Adapter,
        Drift,
        Grades,
        Budget,
        OneEpoch,
        Never,
        Transformers,
        Transformers446,
        Tutorial,
        LlamaFactory,
        Axolotl,
        Keras,
        Lightning,
        Ignite,
        OptunaPatient,
        RayPlateau,
        TorchPlateau,
        XGBoost,
        LightGBM,
        CatBoost,
        SklearnMLP,
        SklearnSGD,
        SklearnHGB,
        Fastai,
        Fairseq,
        AllenNLP,
        OpenNMT,
        Ultralytics,
    ),
    reserved=(*MODIFIERS, *RULE_GROUPS, *ACROSS, "rule", "unless", "oracle"),
)
