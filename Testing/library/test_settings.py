"""Settings and results speak in words, and refuse words they do not know."""

from __future__ import annotations

import numpy as np
import pytest

from deepgmm import Covariance, InputError, Method, Papillary, Settings, Tissue, segment
from deepgmm.phantom import make_patient


def test_words_become_what_they_name() -> None:
    settings = Settings(method="GMM", covariance="full", papillary="wall", seed=np.int64(3))
    assert settings.method is Method.GMM and settings.covariance is Covariance.FULL
    assert settings.papillary is Papillary.WALL
    assert Settings(**settings.as_dict()) == settings


@pytest.mark.parametrize(("wrong", "says"), [
    ({"method": "foo"}, "method is 'foo': choose from auto, gmm"),
    ({"papillary": "x"}, "papillary is 'x': choose from pool, wall"),
    ({"seed": "a"}, "seed is 'a': give a whole number"),
    ({"restarts": -1}, "restarts is -1"),
    ({"degrees": "many"}, "degrees is 'many': give a number"),
    ({"tissues": "scar"}, "tissues is 'scar': give a list"),
])
def test_what_no_fit_could_take_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Settings(**wrong)  # type: ignore[arg-type]


def test_a_word_set_later_acts_too() -> None:
    study = make_patient(seed=1, slices=1).study
    later = Settings()
    later.papillary = "wall"  # type: ignore[assignment]
    said = segment(study, Settings(papillary=Papillary.WALL))
    assert np.array_equal(segment(study, later).labels, said.labels)
    assert said.volume("scar") == said.volume(Tissue.SCAR) > 0
    assert said.volume_interval("Scar") == said.volume_interval(Tissue.SCAR)
    with pytest.raises(InputError, match="no tissue is called 'fat'"):
        said.volume("fat")
    with pytest.raises(InputError, match="only scar is asked for"):
        segment(study, Settings(tissues=["scar"]))
