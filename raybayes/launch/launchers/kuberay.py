"""A RayCluster manifest: checked and printed here, applied with kubectl."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import yaml

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.config.manifest import RayClusterManifest
from raybayes.launch.interface import Say, Status
from raybayes.launch.node.checks import Finding


class KubeRayLauncher:
    """See `raybayes.launch.interface.Launcher`; the operator in the cluster does the starting."""

    def __init__(self, spec: RayClusterManifest, file: str) -> None:
        self._spec, self._file = spec, file
        self.folder = ClusterFolder(Path("~/.raybayes").expanduser() / spec.metadata.name)

    def check(self) -> list[Finding]:
        body = self._spec.spec
        here = version("ray")
        found = [Finding("ok", f"{self._file}: a RayCluster with {len(body.workerGroupSpecs)} groups of workers")]
        if body.rayVersion != here:
            found.append(Finding("error", f"rayVersion is {body.rayVersion}, and here Ray {here} is installed."))
        if body.authOptions is None or body.authOptions.mode != "token":
            found.append(Finding("error", "authOptions.mode must be token, or everybody in the cluster can submit."))
        templates = (body.headGroupSpec.template, *(group.template for group in body.workerGroupSpecs))
        for template in templates:
            image = template.spec.containers[0].image
            if not image.partition(":")[2].startswith(body.rayVersion):
                found.append(Finding("warning", f"image {image} does not name Ray {body.rayVersion} in its tag."))
        return found

    def render(self) -> str:
        return yaml.safe_dump(self._spec.model_dump(mode="json", exclude_unset=True), sort_keys=False)

    def up(self, say: Say) -> NoReturn:
        self._refuse("apply -f")

    def status(self) -> Status:
        self._refuse("get -f")

    def down(self, say: Say) -> NoReturn:
        self._refuse("delete -f")

    def _refuse(self, verb: str) -> NoReturn:
        raise ClusterError(
            f"Kubernetes is driven by kubectl: kubectl {verb} {self._file} (needs the KubeRay operator)."
        )
