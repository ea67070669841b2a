"""The score worker and the deployment it follows, as the script that breaks the model needs them."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.deployment import Deployment, deploy, write_deployment
from stream.demo.workers import Crew, get, is_ready

SCORE = "score"
_MODEL = "model.txt"
_REFUSED = re.compile(r"^riverrun_bundle_refusals_total(\{[^}]*\})? (?P<count>\S+)", re.MULTILINE)


@dataclass(slots=True)
class Champion:
    """A `faults.ScoreWorker`."""

    champion: str
    models: Path
    crew: Crew
    arguments: Sequence[str]
    """What the score worker is started with."""
    _is_new: bool = False

    @property
    def _file(self) -> Path:
        return self.models / self.champion / _MODEL

    def deploy_damaged(self) -> str:
        """A copy whose model file lost its second half, as a broken upload leaves it."""
        version = f"{self.champion[:48]}-damaged"
        copy = self.models / version
        shutil.copytree(self.models / self.champion, copy)
        whole = self._file.read_bytes()
        (copy / _MODEL).write_bytes(whole[: len(whole) // 2])
        deploy(self.models, version)
        return version

    def refused(self) -> int:
        _, metrics = get(self.crew[SCORE], "/metrics")
        return sum(int(float(match["count"])) for match in _REFUSED.finditer(metrics))

    def hide_model(self) -> None:
        self._file.rename(self._hidden)

    def begin_restart(self) -> None:
        self._is_new = False
        self.crew.ask_to_end(SCORE)

    def restarted(self) -> bool:
        if not self._is_new and self.crew.ended(SCORE):
            self.crew.start(SCORE, self.arguments)
            self._is_new = True
        return self._is_new and is_ready(self.crew[SCORE])

    def restore_model(self) -> None:
        self._hidden.rename(self._file)
        write_deployment(self.models, Deployment(self.champion, None))

    @property
    def _hidden(self) -> Path:
        return self.models / f"{self.champion[:48]}.hidden"
