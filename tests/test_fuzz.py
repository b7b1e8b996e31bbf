"""A short version of `python tests/fuzz.py`, in this process."""

import pytest
from fuzz import FORMATS, GOOD, outcome, spoil

N_SEEDS = 3


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"pth-with-code"}))
def test_a_sound_file_is_read(tmp_path, name):
    assert outcome(name, FORMATS[name].write(tmp_path)) == ("read", "")


@pytest.mark.parametrize("seed", range(N_SEEDS))
@pytest.mark.parametrize("name", FORMATS)
def test_a_spoilt_file_is_read_or_refused(tmp_path, name, seed):
    folder = tmp_path / "case"
    folder.mkdir()
    how, said = outcome(name, spoil(name, seed, folder))
    assert how in GOOD, said
