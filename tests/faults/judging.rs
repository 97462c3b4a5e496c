//! Histories made by hand, true ones and each with one thing wrong.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta};
use local::stand_ins::{Kind, Seen};
use system_tests::faults::checker::{Evidence, by_invariant, judge};
use system_tests::faults::due::{Due, expected};
use system_tests::faults::history::{Assignment, Attempt, Call, History, Ladder, Outcome, Whistle, Window};
use system_tests::faults::people::phone;
use uuid::Uuid;

fn ladder() -> Ladder {
    Ladder {
        steps: local::verdict::ladder(TimeDelta::seconds(1)).to_vec(),
        check_after: TimeDelta::seconds(60),
        fault_after: TimeDelta::seconds(300),
    }
}

fn history(stopped: Option<TimeDelta>) -> History {
    let stopped_at = stopped.map(|after| DateTime::UNIX_EPOCH + after);
    let assignment = Assignment {
        id: Uuid::from_u128(1),
        ladder: Uuid::from_u128(2),
        unit: 7,
        stopped_at,
        handed_in: false,
        confirmed: false,
        withdrawn: false,
    };
    let whistle = Whistle {
        id: Uuid::from_u128(3),
        blown_at: DateTime::UNIX_EPOCH,
        assignments: vec![assignment],
        closed: false,
        withdrawn: false,
    };
    History { whistles: vec![whistle], ..History::default() }
}

fn received(history: &History, late: TimeDelta) -> Vec<Seen> {
    let ladder = ladder();
    let seen = |one: &Due<'_>| Seen {
        at: one.due_at + late,
        kind: one.kind,
        id: one.id.to_string(),
        to: phone(7, one.target),
        text: String::new(),
        answered_at: None,
    };
    expected(history, &ladder).iter().map(seen).collect()
}

fn invariants(history: &History, seen: Vec<Seen>) -> Vec<String> {
    let evidence = Evidence { seen, ..Evidence::default() };
    by_invariant(&judge(history, &ladder(), &evidence).violations).into_keys().collect()
}

#[test]
fn a_true_history_is_clean_and_a_rung_at_the_stop_belongs_to_it() {
    for (stopped, effects) in [(None, 9), (Some(TimeDelta::seconds(1)), 4), (Some(TimeDelta::milliseconds(999)), 1)] {
        let history = history(stopped);
        let seen = received(&history, TimeDelta::milliseconds(3));
        assert_eq!(seen.len(), effects);
        assert!(invariants(&history, seen).is_empty());
    }
}

#[test]
fn each_effect_that_is_cut_doubled_or_early_is_named() {
    let history = history(None);
    let all = received(&history, TimeDelta::zero());
    for index in 0..all.len() {
        let mut cut = all.clone();
        let one = cut.remove(index);
        assert_eq!(invariants(&history, cut), ["I2"]);
        let mut doubled = all.clone();
        doubled.push(one);
        assert_eq!(invariants(&history, doubled), ["I2"]);
        if all[index].kind != Kind::Push {
            let mut astray = all.clone();
            astray[index].to = phone(8, "duty");
            assert_eq!(invariants(&history, astray), ["I2"]);
        }
        let mut early = all.clone();
        early[index].at -= TimeDelta::microseconds(1);
        assert_eq!(invariants(&history, early), ["I3"]);
    }
}

#[test]
fn an_effect_of_a_rung_that_must_not_happen_is_named() {
    let everything = received(&history(None), TimeDelta::zero());
    assert_eq!(invariants(&history(Some(TimeDelta::milliseconds(999))), everything), ["I1"]);
}

#[test]
fn lateness_outside_of_fault_windows_has_a_bound_and_inside_it_has_none() {
    let history = history(None);
    let seen = received(&history, TimeDelta::seconds(6));
    assert_eq!(invariants(&history, seen.clone()), ["I4"]);
    let judged = |from: i64, ended: i64, heals: i64| {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let windows = vec![Window { from: at(from), ended: at(ended), heals: TimeDelta::seconds(heals) }];
        let evidence = Evidence { seen: seen.clone(), windows, ..Evidence::default() };
        judge(&history, &ladder(), &evidence).violations
    };
    assert!(judged(0, 60, 0).is_empty());
    assert!(judged(0, 10, 10).is_empty(), "the last is due after 15 s");
    assert!(!judged(0, 10, 4).is_empty(), "healing took longer");
    assert!(!judged(6, 60, 0).is_empty(), "the first was overdue before it struck");
}

#[test]
fn a_call_ends_and_has_its_effect_while_it_is_under_way() {
    let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
    let wrong = |outcomes: &[Outcome]| {
        let attempts = (0..).zip(outcomes);
        let attempt =
            |(from, outcome): (i64, &Outcome)| Attempt { invoked: at(from), returned: at(from + 1), outcome: *outcome };
        let call = Call { what: "BlowWhistle".into(), attempts: attempts.map(attempt).collect() };
        invariants(&History { calls: vec![call], ..History::default() }, Vec::new())
    };
    let (gone, done) = (Outcome::Unknown, |seconds| Outcome::Ok(Some(at(seconds))));
    assert!(wrong(&[gone, done(0)]).is_empty(), "done by the attempt that nobody waited for");
    assert!(wrong(&[gone, Outcome::Fail]).is_empty());
    assert_eq!(wrong(&[gone, gone]), ["I7"]);
    assert_eq!(wrong(&[done(-1)]), ["I8"]);
    assert_eq!(wrong(&[gone, done(3)]), ["I8"]);
}

#[test]
fn what_is_superseded_needs_a_reason_and_what_is_late_must_be_checked() {
    let (silent, answered) = (history(None), history(Some(TimeDelta::seconds(4))));
    let last = expected(&silent, &ladder()).iter().filter(|one| one.kind == Kind::Sms).map(|one| one.id).next_back();
    let mut seen = received(&silent, TimeDelta::zero());
    seen.retain(|seen| Some(seen.id.clone()) != last.map(|id| id.to_string()));
    let superseded = last.into_iter().collect();
    let evidence = Evidence { seen, superseded, ..Evidence::default() };
    let found = judge(&silent, &ladder(), &evidence).violations;
    assert_eq!(
        by_invariant(&found),
        BTreeMap::from([("I4".to_owned(), 1), ("I6".to_owned(), 1)]),
        "nothing made it late either"
    );
    let late = received(&answered, TimeDelta::seconds(70));
    assert_eq!(invariants(&answered, late), ["I4", "I5"]);
    let pushed = received(&silent, TimeDelta::seconds(310));
    assert_eq!(invariants(&silent, pushed.clone()), ["I4", "I5"]);
    let push = pushed.iter().find(|seen| seen.kind == Kind::Push).unwrap();
    let refused_at = |late| HashMap::from([(push.id.parse().unwrap(), push.at - TimeDelta::seconds(late))]);
    for (late, excused) in [(300, true), (1, false)] {
        let evidence = Evidence { seen: pushed.clone(), turned_away: refused_at(late), ..Evidence::default() };
        let found = by_invariant(&judge(&silent, &ladder(), &evidence).violations);
        assert_eq!(found.contains_key("I5"), !excused, "turned away {late} s before it was taken");
    }
}
