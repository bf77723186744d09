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
    """See `raybayes.launch.interface.Launcher`; the operator in the Kubernetes cluster starts and ends nodes."""

    def __init__(self, spec: RayClusterManifest, file: str) -> None:
        self._spec, self._file = spec, file
        self.folder = ClusterFolder(Path("~/.raybayes").expanduser() / spec.metadata.name)

    def check(self) -> list[Finding]:
        body = self._spec.spec
        installed = version("ray")
        found = [Finding("ok", f"{self._file}: a RayCluster with {len(body.workerGroupSpecs)} worker groups")]
        if body.rayVersion != installed:
            found.append(
                Finding("error", f"rayVersion is {body.rayVersion}, but Ray {installed} is installed here; use one.")
            )
        if body.authOptions is None or body.authOptions.mode != "token":
            found.append(
                Finding("error", "authOptions.mode must be token; otherwise everybody in the cluster can submit.")
            )
        templates = (body.headGroupSpec.template, *(group.template for group in body.workerGroupSpecs))
        for template in templates:
            image = template.spec.containers[0].image
            if not image.partition(":")[2].startswith(body.rayVersion):
                found.append(Finding("warning", f"image {image}: its tag does not name Ray {body.rayVersion}."))
        return found

    def render(self) -> str:
        return yaml.safe_dump(self._spec.model_dump(mode="json", exclude_unset=True), sort_keys=False)

    def up(self, say: Say) -> NoReturn:
        self._refer_to_kubectl("apply -f")

    def status(self) -> Status:
        self._refer_to_kubectl("get -f")

    def down(self, say: Say) -> NoReturn:
        self._refer_to_kubectl("delete -f")

    def _refer_to_kubectl(self, verb: str) -> NoReturn:
        raise ClusterError(
            f"raybayes does not drive Kubernetes; run: kubectl {verb} {self._file} (needs the KubeRay operator)"
        )
