"""What one fine-tune is made of, read from a TOML file and checked before anything heavy is loaded.

Unknown keys, wrong types and impossible values are errors of one sentence that name the key, the value and
what is allowed. A config may start from another one (``base = "common.toml"``, relative to itself) and say
only what differs.

`sections` states the keys with their types and bounds, `peft_options` those that are peft's own, `rules` what
must hold between keys, `modes` the metrics that follow from them, and `parse` reads files and explains
mistakes.
"""

from collect.config.modes import metric_modes
from collect.config.parse import (
    SECTIONS,
    describe,
    load,
    parse,
    parse_record,
    read_toml,
)
from collect.config.peft_options import make_lora_config
from collect.config.sections import GENERATED, Config, Data, Generation, Generic, Lora, Model, Train

__all__ = [
    "GENERATED",
    "SECTIONS",
    "Config",
    "Data",
    "Generation",
    "Generic",
    "Lora",
    "Model",
    "Train",
    "describe",
    "load",
    "make_lora_config",
    "metric_modes",
    "parse",
    "parse_record",
    "read_toml",
]
