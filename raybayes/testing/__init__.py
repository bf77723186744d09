"""What raybayes ships for tests of other repositories: contracts to inherit, a clock, a controller without Ray.

A project inherits its contract and names itself; that is the whole file::

    import pytest
    from raybayes import catalog
    from raybayes.contract import Project
    from raybayes.space import Space
    from raybayes.testing import ProjectContract, SpaceContract

    class TestSlope(ProjectContract):
        @pytest.fixture
        def project(self) -> Project:
            return catalog.load_project("slope")

    class TestSlopeSpace(SpaceContract):
        @pytest.fixture
        def space(self) -> Space:
            return catalog.load_spaces("slope")["SPACE"]

`pytest`, run in the folder that holds `trainables/` and `search_spaces/`, finds the project as `raybayes sweep` does.
"""

import pytest

pytest.register_assert_rewrite("raybayes.testing.project_contract", "raybayes.testing.space_contract")

from raybayes.clock import VirtualClock  # noqa: E402 - the lines above make a contract's assertions show their values
from raybayes.testing.controller import ControllerHarness, RecordingController  # noqa: E402
from raybayes.testing.project_contract import ProjectContract  # noqa: E402
from raybayes.testing.space_contract import SpaceContract  # noqa: E402

__all__ = ["ControllerHarness", "ProjectContract", "RecordingController", "SpaceContract", "VirtualClock"]
