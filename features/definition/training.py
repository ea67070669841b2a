"""LightGBM's parameters: which of them a use case may set, by any of LightGBM's names for them."""

import math
from collections.abc import Mapping
from typing import Any

from features.definition.document import Path
from features.definition.model import Training
from features.definition.report import did_you_mean
from features.definition.schema import TrainingSpec
from features.definition.scope import Scope

_ALIASES: Mapping[str, str] = {
    "bagging_fraction": "bagging sub_row subsample",
    "bagging_freq": "subsample_freq",
    "boost_from_average": "",
    "boosting": "boost boosting_type",
    "cat_l2": "",
    "cat_smooth": "",
    "data_sample_strategy": "",
    "drop_rate": "rate_drop",
    "extra_trees": "extra_tree",
    "feature_fraction": "sub_feature colsample_bytree",
    "feature_fraction_bynode": "sub_feature_bynode colsample_bynode",
    "is_unbalance": "unbalance unbalanced_sets",
    "lambda_l1": "reg_alpha l1_regularization",
    "lambda_l2": "reg_lambda lambda l2_regularization",
    "learning_rate": "eta shrinkage_rate",
    "linear_lambda": "",
    "linear_tree": "linear_trees",
    "max_bin": "max_bins",
    "max_cat_threshold": "",
    "max_cat_to_onehot": "",
    "max_delta_step": "max_tree_output max_leaf_output",
    "max_depth": "",
    "max_drop": "",
    "min_data_in_bin": "",
    "min_data_in_leaf": "min_data min_data_per_leaf min_child_samples min_samples_leaf",
    "min_data_per_group": "",
    "min_gain_to_split": "min_split_gain",
    "min_sum_hessian_in_leaf": "min_sum_hessian min_sum_hessian_per_leaf min_hessian min_child_weight",
    "monotone_constraints": "mc monotone_constraint monotonic_cst",
    "neg_bagging_fraction": "neg_bagging neg_sub_row neg_subsample",
    "num_leaves": "num_leaf max_leaf max_leaves max_leaf_nodes",
    "other_rate": "",
    "path_smooth": "",
    "pos_bagging_fraction": "pos_bagging pos_sub_row pos_subsample",
    "scale_pos_weight": "",
    "skip_drop": "",
    "subsample_for_bin": "bin_construct_sample_cnt",
    "top_rate": "",
    "uniform_drop": "",
    "use_missing": "",
    "zero_as_missing": "",
}
PARAMETERS: Mapping[str, str] = {
    name: meaning for meaning, others in _ALIASES.items() for name in (meaning, *others.split())
}
"""Every name that may be used, and LightGBM's own name for what it means."""

_OURS = {
    "objective objective_type app application loss": "it follows from the task",
    "num_class num_classes": "it follows from the label's classes",
    "categorical_feature cat_feature categorical_column cat_column categorical_features": "features say it",
    "num_threads num_thread nthread nthreads n_jobs": "training sets it, so that it repeats",
    "seed random_seed random_state": "training sets it, so that it repeats",
    "bagging_seed feature_fraction_seed data_random_seed drop_seed extra_seed": "training's seed draws it",
    "deterministic force_col_wise force_row_wise": "training sets it, so that it repeats",
    "verbosity verbose": "training tells its progress itself",
    "num_iterations num_iteration n_iter num_tree num_trees num_round num_rounds nrounds num_boost_round "
    "n_estimators max_iter": "it is `rounds`, beside `parameters`",
    "metric metrics metric_types": "it is `evaluation.metrics`",
}
OURS: Mapping[str, str] = {name: why for names, why in _OURS.items() for name in names.split()}
"""Names that a use case may not set, and why."""


def read_training(raw: TrainingSpec, scope: Scope) -> Training:
    """The parameters as written. Those that are ours, unknown, or given twice are reported."""
    report = scope.report
    first: dict[str, str] = {}
    for name, value in raw.parameters.items():
        path: Path = ("training", "parameters", name)
        if name in OURS:
            report.add(
                path,
                f"this is not for the use case to set: {OURS[name]}",
                "take it out",
                text=name,
                at_key=True,
            )
        elif name not in PARAMETERS:
            report.add(
                path,
                "no such parameter of LightGBM's",
                did_you_mean(name, _ALIASES),
                text=name,
                at_key=True,
            )
        elif PARAMETERS[name] in first:
            other = first[PARAMETERS[name]]
            report.add(
                path, f"it means the same as `{other}`", "take one of the two out", text=name, at_key=True
            )
        elif not _is_value(value):
            report.add(
                path,
                "not a value of a parameter",
                "write a number, true, false, a word, or a list of whole numbers",
            )
        else:
            first[PARAMETERS[name]] = name
    return Training(dict(raw.parameters), raw.rounds)


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, int) for item in value)
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))
