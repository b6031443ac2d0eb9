"""What users go by is looked up once, and anew when a name changes."""

from __future__ import annotations

from insights_exporter.collectors.names import Names, Roll
from insights_exporter.collectors.parts import Activity


def test_users_without_a_name_go_by_their_id() -> None:
    names = Names()
    names.learn({"id-1": "ada", "id-2": ""})

    assert [names.of(one) for one in ("id-1", "id-2", "id-3")] == ["ada", "id-2", "id-3"]


def test_names_agree_only_with_what_they_know() -> None:
    names = Names()
    names.learn({"id-1": "ada", "id-2": "bob"})

    assert names.agree(["id-1", "id-2"], ["ada", "bob"])
    assert not names.agree(["id-1", "id-2"], ["ada", "robert"])
    assert not names.agree(["id-1", "id-3"], ["ada", "cy"])
    assert not names.agree(["id-1"], ["ada", "bob"])


def test_roll_grows_with_its_users_and_is_called_anew_after_a_change() -> None:
    names, roll = Names(), Roll()
    names.learn({"id-1": "ada", "id-2": "bob"})
    users = {"id-1": 1.0}
    first = list(roll.call(users, names))
    users["id-2"] = 2.0
    grown = list(roll.call(users, names))
    names.learn({"id-1": "ada-lovelace"})

    assert first == ["ada"]
    assert grown == ["ada", "bob"]
    assert roll.call(users, names) == ["ada-lovelace", "bob"]


def test_known_names_open_no_new_edition() -> None:
    names = Names()
    names.learn({"id-1": "ada"})
    edition = names.edition
    names.learn({"id-1": "ada"})

    assert names.edition is edition


def test_time_is_told_under_the_names_of_now() -> None:
    """Also where two accounts come to have one name, and none in what was told before."""
    names, activity = Names(), Activity({"id-1": 60.0, "id-2": 5.0})
    names.learn({"id-1": "ada", "id-2": "bob"})
    before = activity.by_name(names)
    names.learn({"id-2": "ada"})

    assert activity.by_name(names) == {"ada": 65.0}
    assert before == {"ada": 60.0, "bob": 5.0}


def test_how_often_names_were_called_makes_no_answer_another() -> None:
    names, asked, other = Names(), Activity({"id-1": 60.0}), Activity({"id-1": 60.0})
    asked.by_name(names)

    assert asked == other
