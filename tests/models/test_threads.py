import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from models.threads import SystemLibraryMissing, check_system_libraries
from models.training.train import TrainResult


def test_a_missing_system_library_is_named_with_its_debian_package() -> None:
    with pytest.raises(SystemLibraryMissing, match=r"libnothere\.so\.9.*apt-get install libgomp1"):
        check_system_libraries("libnothere.so.9")


def test_this_machine_has_the_library() -> None:
    check_system_libraries()


@pytest.mark.parametrize(("given", "in_force"), [(None, "1"), ("3", "3")])
def test_one_thread_is_the_limit_before_lightgbm_is_loaded(given: str | None, in_force: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {} if given is None else {"OMP_NUM_THREADS": given}
    code = "import os, sys, models.booster; print('lightgbm' in sys.modules, os.environ['OMP_NUM_THREADS'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", in_force]


COUNT_THREADS = """
import ctypes, os, pathlib, sys
import numpy
import models.bundle
threads = lambda: len(os.listdir("/proc/self/task"))
openmp = ctypes.CDLL("libgomp.so.1")
openmp.omp_set_num_threads(1)
bundle = models.bundle.load_bundle(pathlib.Path(sys.argv[1]))
matrix = numpy.resize(bundle.golden, (5000, bundle.golden.shape[1]))
before = threads()
openmp.omp_set_num_threads(4)
bundle.scorer.predict(matrix)
bundle.explainer.contributions(matrix[:100])
print(threads() - before)
"""


def test_predicting_starts_no_thread_even_where_openmp_may(trained: Mapping[str, TrainResult]) -> None:
    """OpenMP keeps the threads of a team once it has started them, so they can be counted afterwards."""
    command = [sys.executable, "-c", COUNT_THREADS, str(trained["orders"].path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_scoring_never_imports_what_only_training_needs() -> None:
    code = (
        "import sys, models.bundle, models.explain, models.deployment\n"
        "print([name for name in sys.modules if name.startswith('models.training')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_lightgbm_takes_no_library_along_and_leaves_them_importable() -> None:
    code = (
        "import sys, models.booster\n"
        "print(*sorted({'pandas', 'sklearn', 'matplotlib', 'dask'} & sys.modules.keys()))\n"
        "import pandas, sklearn.metrics\n"
        "print(pandas.DataFrame({'a': [1]}).a.sum())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "1"]


def test_a_score_worker_starts_without_the_libraries_of_offline_work() -> None:
    code = (
        "import sys, stream.workers.score\n"
        "print(*sorted({'pandas', 'sklearn', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
