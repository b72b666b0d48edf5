"""What tests of the scene begin with; `scenes` skips where slicer-core is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scenes import Scene

    from deepgmm.result import Result
    from deepgmm.study.study import Study


@pytest.fixture
def a_scene() -> Scene:
    from scenes import Scene

    return Scene()


@pytest.fixture
def a_result() -> Result:
    from scenes import HERE, a_result_of

    return a_result_of(geometry=HERE)


@pytest.fixture
def a_heart(a_result: Result) -> Study:
    return a_result.study
