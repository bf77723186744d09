"""What every project promises, found by its folder: the sixth project is tested without an edit here."""

from pathlib import Path

import pytest

from raybayes import catalog
from raybayes.testing import ProjectContract, SpaceContract

catalog.add_root(str(Path(__file__).parent.parent / "projects"))
NAMES = catalog.project_names()
MISTAKES = {("parabola", "WRONG")}  # a space that the tests of mistakes need
NEED_A_FILE = {("permutations", "OWN")}  # tests/trainables/permutations/test_spaces.py draws from it with a cost
SPACES = [(name, space) for name in NAMES for space in catalog.load_spaces(name)]
SPACES = [named for named in SPACES if named not in MISTAKES | NEED_A_FILE]


class TestEveryProject(ProjectContract):
    @pytest.fixture(params=NAMES)
    def project(self, request):
        return catalog.load_project(request.param)

    def seeded_config(self, project):
        return {**project.smoke, **({"noise": 0.1} if project.name == "parabola" else {})}

    def space_names(self, project):
        return [space for name, space in SPACES if name == project.name]


class TestEverySpace(SpaceContract):
    @pytest.fixture(params=SPACES, ids=".".join)
    def named(self, request):
        return request.param

    @pytest.fixture
    def project(self, named):
        return catalog.load_project(named[0])

    @pytest.fixture
    def space(self, named):
        return catalog.load_spaces(named[0])[named[1]]
