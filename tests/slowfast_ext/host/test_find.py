"""Which PySlowFast is found, on fake ones: folders with the few files that tell main from the wheel."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from slowfast_ext.host.find import GIT, WHEEL, Installation
from vtn import InputError


def taken() -> Path:
    """The folder from which `import slowfast` would take it now."""
    return Path(importlib.util.find_spec("slowfast").origin).parent.parent


def test_the_wheel_alone(look, put, tmp_path):
    wheel = put("site", WHEEL)
    found = look(tmp_path / "nothing", wheel)
    assert found == Installation(WHEEL, wheel, "1.0")
    assert sys.path[1] == str(wheel)  # left as it was
    assert found.tools is None
    assert found.description == "PySlowFast 1.0 from PyPI"


def test_main_alone(look, put):
    main = put("main", GIT)
    found = look(main)
    assert found == Installation(GIT, main, "")
    assert sys.path[0] == str(main)
    assert sys.path.count(str(main)) == 1
    assert found.description == f"PySlowFast main, of an unknown commit, in {main}"


def test_tools_belong_to_a_checkout(look, put):
    main, wheel = put("main", GIT), put("site", WHEEL)
    for root in (main, wheel):
        (root / "tools").mkdir()
    assert look(main).tools is None  # a folder called tools is not enough
    for root in (main, wheel):
        (root / "tools" / "train_net.py").write_text("")
    assert look(main).tools == main / "tools"
    assert look(wheel).tools is None


def test_home_wins_over_the_wheel(look, put):
    wheel, main = put("site", WHEEL), put("main", GIT)
    assert look(wheel, home=main) == Installation(GIT, main, "", (wheel,))
    assert taken() == main


def test_home_wins_over_another_main(look, put):
    wheel, other, main = put("site", WHEEL), put("other", GIT), put("main", GIT)
    assert look(other, wheel, home=main) == Installation(GIT, main, "", (other, wheel))
    assert taken() == main


def test_home_wins_where_it_is_importable_but_not_first(look, put):
    wheel, main = put("site", WHEEL), put("main", GIT)
    assert look(wheel, main, home=main).unused == (wheel,)
    assert taken() == main


def test_home_is_enough(look, put):
    main = put("main", GIT)
    assert look(home=main) == Installation(GIT, main, "")
    assert taken() == main


@pytest.mark.parametrize("wheel_first", [True, False])
def test_main_wins_over_the_wheel(look, put, wheel_first):
    wheel, main = put("site", WHEEL), put("main", GIT)
    folders = (wheel, main) if wheel_first else (main, wheel)
    assert look(*folders) == Installation(GIT, main, "", (wheel,))
    assert taken() == main


def test_the_first_main_wins_over_the_second(look, put):
    first, second = put("first", GIT), put("second", GIT)
    assert look(first, second) == Installation(GIT, first, "", (second,))
    assert taken() == first


class EditableInstall:
    """A finder such as pip puts behind all others for an editable install; its folder is in no path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find_spec(self, name, path=None, target=None):
        package = self.root / "slowfast" / "__init__.py"
        return importlib.util.spec_from_file_location(name, package) if name == "slowfast" else None


@pytest.mark.parametrize("with_wheel", [True, False])
def test_main_installed_as_editable_is_found(look, put, with_wheel):
    wheel, main = put("site", WHEEL), put("main", GIT)
    sys.meta_path += [EditableInstall(main), object()]  # the last is of the old kind, without find_spec
    found = look(*[wheel][:with_wheel])
    assert (found.kind, found.root, found.unused) == (GIT, main, (wheel,)[:with_wheel])
    assert taken() == main


def test_another_package_of_that_name_is_put_behind(look, put, tmp_path):
    wheel = put("site", WHEEL)
    other = tmp_path / "other" / "slowfast"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    found = look(tmp_path / "other", wheel)
    assert (found.root, found.unused) == (wheel, ())
    assert taken() == wheel


def test_a_script_of_that_name_is_put_behind(look, put, tmp_path):
    wheel = put("site", WHEEL)
    (tmp_path / "slowfast.py").write_text("")
    assert look(tmp_path, wheel).root == wheel
    assert taken() == wheel


def test_a_folder_of_that_name_is_no_package(look, put, tmp_path, monkeypatch):
    """`git clone` into a folder called slowfast, and Python started beside it."""
    put("slowfast", GIT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="PySlowFast is not installed"):
        look("")
    wheel = put("site", WHEEL)
    assert look("", wheel) == Installation(WHEEL, wheel, "1.0")
    assert look("", wheel, home="slowfast").root == tmp_path.resolve() / "slowfast"


def test_folders_are_compared_without_links(look, put, tmp_path):
    main = put("main", GIT)
    (tmp_path / "link").symlink_to(main)
    assert look(tmp_path / "link", home=main) == Installation(GIT, main, "")
    assert look(main, home=tmp_path / "link") == Installation(GIT, main, "")


def test_home_may_be_written_with_a_tilde(look, put, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    main = put("main", GIT)
    assert look(home="~/main").root == main


def test_empty_home_is_none(look, put):
    wheel = put("site", WHEEL)
    assert look(wheel, home="") == Installation(WHEEL, wheel, "1.0")


def test_home_must_be_a_checkout(look, put, tmp_path):
    wheel, main = put("site", WHEEL), put("main", GIT)
    for home in (tmp_path / "absent", wheel, main / "slowfast", put("odd", "neither")):
        with pytest.raises(
            InputError, match="SLOWFAST_HOME is '.*': it must be a checkout of https"
        ) as error:
            look(wheel, home=home)
        assert repr(str(home)) in str(error.value)
    assert str(main / "slowfast") not in sys.path


def test_nothing_is_installed(look, tmp_path):
    with pytest.raises(
        InputError, match="not installed: type `pip install pyslowfast==1.0`, or set SLOWFAST"
    ):
        look(tmp_path)


def test_neither_kind_is_refused(look, put):
    odd, main = put("odd", "neither"), put("main", GIT)
    with pytest.raises(
        InputError, match="the PySlowFast in .*odd/slowfast is neither 1.0 from PyPI nor main"
    ):
        look(odd)
    assert look(odd, main).root == main
    assert taken() == main


def test_main_over_the_wheel_works(look, put):
    both = put("site", WHEEL, GIT)
    assert look(both) == Installation(GIT, both, "")
    assert look(home=both).kind == GIT


@pytest.mark.parametrize("as_home", [True, False])
def test_the_wheel_over_main_is_refused(look, put, as_home):
    both = put("site", GIT, WHEEL)
    command = r"`pip install --no-deps --force-reinstall git\+https://github.com/facebookresearch/SlowFast`"
    with pytest.raises(InputError, match=f"site/slowfast holds .* neither is whole: type {command}$"):
        look(both, home=both if as_home else None)


def test_slowfast_imported_from_elsewhere(look, put, monkeypatch):
    wheel, main = put("site", WHEEL), put("main", GIT)
    loaded = ModuleType("slowfast")
    monkeypatch.setitem(sys.modules, "slowfast", loaded)
    loaded.__path__ = [str(wheel / "slowfast")]
    with pytest.raises(InputError, match=r"already imported from .*site/slowfast, but .*main is to be used"):
        look(wheel, home=main)
    assert str(main) not in sys.path
    loaded.__path__ = [str(main / "slowfast")]
    assert look(wheel, home=main).root == main


def test_the_checkout_of_make_install_git(put, look, monkeypatch):
    """It is used where SLOWFAST_HOME is not set; an empty SLOWFAST_HOME leaves it aside."""
    wheel, own, other = put("wheel", WHEEL), put("own", GIT), put("other", GIT)
    monkeypatch.setattr("slowfast_ext.host.find.OWN_CHECKOUT", own)
    assert look(wheel).root == own
    assert look(wheel, home=other).root == other
    assert look(wheel, home="").root == wheel
