"""RayCluster manifests of KubeRay (ray.io/v1): what is checked and printed here; kubectl applies them."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from raybayes.spec.validation import Frozen


class _Open(BaseModel):
    """A part of Kubernetes' own schema: the keys that raybayes reads are checked, the others are accepted."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Container(_Open):
    """One container of a pod."""

    name: str
    image: str
    resources: dict[str, dict[str, Any]] = Field(default_factory=dict)


class PodSpec(_Open):
    """The pod of a Ray node; its first container runs Ray."""

    containers: tuple[Container, ...] = Field(min_length=1)


class PodTemplate(_Open):
    """The template from which the operator creates pods."""

    spec: PodSpec


class Metadata(_Open):
    """Name and namespace."""

    name: str

    @field_validator("name")
    @classmethod
    def _dns_label(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
            raise ValueError("use at most 63 lower-case letters, digits and '-', and no '-' at either end")
        return value


class HeadGroup(Frozen):
    """The head of the cluster."""

    rayStartParams: dict[str, str] = Field(default_factory=dict)  # noqa: N815 - KubeRay's own names
    template: PodTemplate
    serviceType: str | None = None  # noqa: N815


class WorkerGroup(Frozen):
    """A group of equal workers."""

    groupName: str  # noqa: N815
    replicas: int = Field(1, ge=0)
    minReplicas: int = Field(0, ge=0)  # noqa: N815
    maxReplicas: int = Field(1, ge=0)  # noqa: N815
    rayStartParams: dict[str, str] = Field(default_factory=dict)  # noqa: N815
    template: PodTemplate
    numOfHosts: int = Field(1, ge=1)  # noqa: N815

    @model_validator(mode="after")
    def _ordered(self) -> WorkerGroup:
        if not self.minReplicas <= self.replicas <= self.maxReplicas:
            raise ValueError(
                f"replicas: {self.replicas} is not between minReplicas {self.minReplicas} and "
                f"maxReplicas {self.maxReplicas}"
            )
        return self


class AuthOptions(Frozen):
    """Who may submit to the cluster."""

    mode: Literal["token", "disabled"]


class RayClusterBody(Frozen):
    """The `spec` of a RayCluster."""

    rayVersion: str  # noqa: N815
    authOptions: AuthOptions | None = None  # noqa: N815
    enableInTreeAutoscaling: bool = False  # noqa: N815
    autoscalerOptions: dict[str, Any] = Field(default_factory=dict)  # noqa: N815
    gcsFaultToleranceOptions: dict[str, Any] = Field(default_factory=dict)  # noqa: N815
    headGroupSpec: HeadGroup  # noqa: N815
    workerGroupSpecs: tuple[WorkerGroup, ...] = ()  # noqa: N815
    suspend: bool = False


class RayClusterManifest(Frozen):
    """The whole manifest."""

    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: RayClusterBody
