"""Many sessions and programs on one Maildir, by random commands, against a model of what each may be told (model.py)."""
import glob
import os
import random

import pytest

import model

HERE = os.path.dirname(os.path.abspath(__file__))
LISTS = sorted(glob.glob(os.path.join(HERE, "model", "*.txt")))
RACE = os.environ.get("WAYPOST_MODEL_RACE", "")  # MICROSECONDS:PERCENT, for a build with race points


def look(seed, seconds, **more):
    """Runs random commands for so long; a failure says how to reproduce it."""
    print(f"seed {seed}")
    result, name, counts = model.run(seed, seconds, model.default_options(race=RACE, **more))
    print(f"{sum(counts.values())} commands: " + ", ".join(f"{k} {n}" for k, n in sorted(counts.items())))
    assert sum(counts.values()) > 20, "hardly anything was done"
    if result.finding is not None:
        pytest.fail(model.keep(result, name, "/tmp"), pytrace=False)


@pytest.mark.parametrize("path", LISTS, ids=[os.path.basename(p) for p in LISTS])
def test_a_list_that_once_led_to_a_fault(path):
    ops = model.read_list(path)
    for n in range(10):
        result = model.replay(ops, f"{path} {n}", model.default_options(race=RACE))
        if result.finding is not None:
            pytest.fail(model.report(result, path), pytrace=False)


def test_random_commands():
    look(str(random.SystemRandom().randrange(1 << 31)), 25)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(10))
def test_random_commands_for_two_minutes(round_):
    look(str(random.SystemRandom().randrange(1 << 31)), 120, sessions=2 + round_ % 5 * 2, pop=1 + round_ % 2)


def test_a_wrong_answer_is_a_finding():
    """Tests the model itself: a client that sees a change nobody made reports a finding."""
    truth = model.Truth()
    inbox = model.Folder(truth, "INBOX", "/nonexistent")
    inbox.adding(1)
    mail = inbox.learn(5)
    inbox.bind(mail, 1)
    inbox.added(1, True)
    mail.initial("\\Seen", {False})
    for wrong, kind in (
            (lambda: inbox.bind(inbox.learn(6), 1), "doubled"),
            (lambda: inbox.bind(mail, 2), "uid-reused"),
            (lambda: inbox.bind(inbox.learn(7), 3), "stranger"),
            (lambda: inbox.told_uidnext(5, inbox.floor), "uidnext-falls"),
            (lambda: inbox.check_new_uid(5, inbox.floor), "uid-back")):
        with pytest.raises(model.Finding) as caught:
            wrong()
        assert caught.value.kind == kind


def test_a_flag_is_what_was_stored_last_or_is_under_way():
    register = model.Register({False})
    first = register.begin(True, 10)
    assert register.read(11) == {True, False}
    register.end(first, 20, True)
    assert register.read(21) == {True} and register.read(15) == {True, False}
    one, other = register.begin(False, 30), register.begin(True, 31)
    register.end(one, 40, True)
    register.end(other, 41, True)
    assert register.read(50) == {True, False}, "two at once: either may have been last"
    register.end(register.begin(True, 60), 61, None)
    assert register.read(70) == {True, False}, "a write whose outcome nobody knows replaces nothing"
    register.end(register.begin(True, 80), 81, True)
    assert register.read(90) == {True}


def test_what_nobody_removed_is_there_when_all_are_quiet():
    truth = model.Truth()
    inbox = model.Folder(truth, "INBOX", "/nonexistent")
    inbox.adding(1)
    inbox.bind(inbox.learn(1), 1)
    inbox.added(1, True)
    inbox.settle({1: frozenset()}, "test")
    with pytest.raises(model.Finding) as caught:
        inbox.settle({}, "test")
    assert caught.value.kind == "lost"
    with pytest.raises(model.Finding) as caught:
        inbox.settle({1: frozenset(["\\Flagged"])}, "test")
    assert caught.value.kind == "flag-lost"
