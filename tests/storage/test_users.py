import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.cases import Cases
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.errors import NotAllowed, UnknownRecord, UserRefused
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission, Role
from reid_pipeline.storage.records import Changes
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.users import UserRecord, Users, access_of

ROOT = Access("root", Role.ADMIN)


@pytest.fixture
def two_cameras(site):
    """Identity 1 in the hall and at the door, identity 2 at the door alone."""
    site.source()
    site.source(camera="door")
    tracklets = (site.begin(1), site.begin(1, 2, "door"), site.begin(2, 2, "door"))
    views = (site.view(1, 1), site.view(1, 1, "door"), site.view(2, 1, "door"))
    boxes = (site.box_run(1, [1]), site.box_run(1, [1], "door"), site.box_run(2, [1], "door"))
    events = (site.opened(1), site.opened(2), site.assigned(1, 1), site.assigned(1, 1, "door"))
    events += (site.assigned(2, 2, "door"),)
    site.write(Changes(new_tracklets=tracklets, boxes=boxes, views=views, identity_events=events))
    return site


def asks(site, role=Role.OPERATOR, cameras=("hall",)):
    return Repository(site.database, site.crops, Access("ada", role, frozenset(cameras)))


def test_whoever_comes_first_is_an_admin_until_there_is_one(site):
    assert access_of(site.database, "root") == Access("root", Role.ADMIN)
    assert access_of(site.database, "root", "ada") == Access("ada", Role.ADMIN)

    Users(site.database, ROOT).add("root", Role.ADMIN)

    assert access_of(site.database, "root", "root") == Access("root", Role.ADMIN)
    for name, claimed in (("eve", None), ("root", "ada")):
        with pytest.raises(NotAllowed):
            access_of(site.database, name, claimed)


def test_users_are_added_changed_and_disabled(two_cameras):
    users = Users(two_cameras.database, ROOT, lambda: 5)
    users.add("root", Role.ADMIN)
    users.add("ada", Role.VIEWER)
    users.add("ada", Role.OPERATOR, ["hall"])

    assert users.read() == (
        UserRecord("ada", Role.OPERATOR, ("hall",), has_password=False, disabled=False),
        UserRecord("root", Role.ADMIN, None, has_password=False, disabled=False),
    )
    assert access_of(two_cameras.database, "ada") == Access("ada", Role.OPERATOR, frozenset({"hall"}))
    users.disable("ada")
    with pytest.raises(NotAllowed, match="ada: is no user"):
        access_of(two_cameras.database, "ada")
    noted = [(each.subject["user"], each.subject["what"]) for each in AuditLog(two_cameras.database).read()]
    assert noted == [("root", "add"), ("ada", "add"), ("ada", "add"), ("ada", "disable")]


@pytest.mark.parametrize(
    ("act", "fault"),
    [
        (lambda users: users.add("ada", Role.VIEWER), "no admin who sees all cameras would be left"),
        (lambda users: users.add("ada", Role.ADMIN, ["hall"]), "no admin who sees all"),
        (lambda users: users.add("ada", Role.ADMIN, ["attic"]), "attic: expected one of"),
        (lambda users: users.disable("ada"), "ada: is no user"),
        (lambda users: users.set_password("ada", "a" * 12), "ada: is no user"),
        (lambda users: users.set_password("ada", "a" * 11), "11 characters: expected at least 12"),
    ],
)
def test_what_cannot_be_changes_nothing(two_cameras, act, fault):
    with pytest.raises(UserRefused, match=fault):
        act(Users(two_cameras.database, ROOT))

    assert Users(two_cameras.database, ROOT).read() == ()


def test_who_says_the_present_password_gets_another(site):
    users = Users(site.database, ROOT)
    users.add("root", Role.ADMIN)
    ada = Users(site.database, Access("ada", Role.VIEWER, frozenset()))
    users.add("ada", Role.VIEWER, [])
    with pytest.raises(UserRefused, match="no password"):
        ada.change_password("", "a better password")
    users.set_password("ada", "correct horse battery")
    with pytest.raises(UserRefused, match="another one"):
        ada.change_password("a better password", "a better password")
    with pytest.raises(UserRefused, match="characters"):
        ada.change_password("correct horse battery", "short")
    ada.change_password("correct horse battery", "a better password")
    ada.change_password("a better password", "the best password")
    noted = [each.actor for each in AuditLog(site.database).read() if each.subject.get("what") == "password"]
    assert noted == ["root", "ada", "ada"]


def test_the_last_admin_stays(site):
    users = Users(site.database, ROOT)
    users.add("root", Role.ADMIN)

    for act in (lambda: users.disable("root"), lambda: users.add("root", Role.VIEWER)):
        with pytest.raises(UserRefused, match="no admin"):
            act()


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_its_row_says_and_nothing_else(two_cameras, role):
    access = Access("ada", role)
    tries = {
        Permission.SEE: lambda: Repository(two_cameras.database, two_cameras.crops, access).journey(1),
        Permission.SEARCH: lambda: list(
            Repository(two_cameras.database, two_cameras.crops, access).tracklet_views("m1", ViewFilter())
        ),
        Permission.CORRECT: lambda: Corrections(two_cameras.database, access),
        Permission.HOLD: lambda: Cases(two_cameras.database, access),
        Permission.ERASE: lambda: Erasures(two_cameras.database, access),
        Permission.MANAGE: lambda: Users(two_cameras.database, access).read(),
    }
    for permission, act in tries.items():
        if permission in ALLOWED[role]:
            act()
        else:
            with pytest.raises(NotAllowed, match=f"ada \\({role}\\) may not {permission}"):
                act()


def test_what_one_camera_sees_tells_nothing_of_another(two_cameras):
    seen = asks(two_cameras)

    assert seen.camera_names() == ("hall",)
    assert [(each.identity, each.cameras, each.tracklets) for each in seen.identities()] == [(1, ("hall",), 1)]
    assert seen.identities("door") == ()
    assert [each.camera for each in seen.journey(1).tracklets] == ["hall"]
    with pytest.raises(UnknownRecord, match="identity 2 is not in the database"):
        seen.journey(2)
    assert {each.camera for each in seen.identity_history(1)} == {None, "hall"}
    assert [each.camera for each in seen.tracklet_views("m1", ViewFilter())] == ["hall"]
    for wanted in (ViewFilter(cameras=("door",)), ViewFilter(tracklet=("door", 2)), ViewFilter(identity=2)):
        assert list(seen.tracklet_views("m1", wanted)) == []
    assert list(seen.tracklet_boxes("door")) == []
    assert list(seen.tracklet_boxes_between("door", 0, 2**62)) == []
    assert len(list(seen.tracklet_boxes("hall"))) == 1


def test_whoever_sees_no_camera_sees_nobody(two_cameras):
    seen = asks(two_cameras, cameras=())

    assert (seen.camera_names(), seen.identities()) == ((), ())
    assert list(seen.tracklet_views("m1", ViewFilter())) == []


def test_whom_another_camera_saw_is_not_corrected(two_cameras):
    with pytest.raises(NotAllowed, match="a camera that you do not see"):
        Corrections(two_cameras.database, Access("ada", Role.OPERATOR, frozenset({"hall"}))).merge(1, 2)

    door = Access("ada", Role.OPERATOR, frozenset({"hall", "door"}))
    assert Corrections(two_cameras.database, door).merge(1, 2).other == 1


@pytest.mark.parametrize("act", [Cases, Erasures])
def test_what_is_about_the_whole_site_needs_all_cameras(two_cameras, act):
    with pytest.raises(NotAllowed, match="ada sees hall"):
        act(two_cameras.database, Access("ada", Role.ADMIN, frozenset({"hall"})))
