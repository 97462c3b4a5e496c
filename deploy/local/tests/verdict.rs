//! True logs are clean, and logs with anything wrong are refused.

use chrono::{DateTime, TimeDelta};
use local::stand_ins::Seen;
use local::verdict::{Assignment, Clean, Expected, Violation, expected, ladder, verdict};
use uuid::Uuid;

fn logs() -> (Vec<Expected>, Vec<Seen>) {
    let assignment = |number: u128, answered: Option<i64>| Assignment {
        unit: format!("单位{number}"),
        id: Uuid::from_u128(number),
        ladder: Uuid::from_u128(number + 100),
        blown_at: DateTime::UNIX_EPOCH,
        answered_at: answered.map(|second| DateTime::UNIX_EPOCH + TimeDelta::seconds(second)),
    };
    let expected = expected(&[assignment(1, Some(1)), assignment(2, None)], &ladder(TimeDelta::seconds(2)));
    let seen = |one: &Expected| Seen {
        at: one.due_at + TimeDelta::milliseconds(7),
        kind: one.kind,
        id: one.id.clone(),
        to: String::new(),
        text: String::new(),
        answered_at: None,
    };
    let received = expected.iter().map(seen).collect();
    (expected, received)
}

#[test]
fn an_answer_before_a_rung_leaves_only_the_rungs_before_it() {
    let (expected, _) = logs();
    assert_eq!(expected.iter().filter(|one| one.what.starts_with("单位1")).count(), 1);
    assert_eq!(expected.iter().filter(|one| one.what.starts_with("单位2")).count(), 9);
}

#[test]
fn true_logs_are_clean() {
    let (expected, received) = logs();
    assert_eq!(verdict(&expected, &received), Ok(Clean { effects: 10, latest: TimeDelta::milliseconds(7) }));
}

#[test]
fn logs_with_any_line_removed_are_refused() {
    let (expected, received) = logs();
    for index in 0..received.len() {
        let mut cut = received.clone();
        cut.remove(index);
        assert_eq!(verdict(&expected, &cut), Err(vec![Violation::Lost(expected[index].what.clone())]));
    }
}

#[test]
fn logs_with_any_line_doubled_are_refused() {
    let (expected, received) = logs();
    for index in 0..received.len() {
        let mut more = received.clone();
        more.push(received[index].clone());
        assert_eq!(verdict(&expected, &more), Err(vec![Violation::Doubled(expected[index].what.clone())]));
    }
}

#[test]
fn logs_with_any_line_before_its_time_are_refused() {
    let (expected, received) = logs();
    for index in 0..received.len() {
        let mut early = received.clone();
        early[index].at = expected[index].due_at - TimeDelta::milliseconds(1);
        let what = expected[index].what.clone();
        assert_eq!(verdict(&expected, &early), Err(vec![Violation::Early(what, TimeDelta::milliseconds(1))]));
    }
}

#[test]
fn logs_with_a_line_that_nothing_asked_for_are_refused() {
    let (expected, mut received) = logs();
    let mut other = received[0].clone();
    other.id = Uuid::max().to_string();
    received.push(other);
    let violations = verdict(&expected, &received).unwrap_err();
    assert!(matches!(violations.as_slice(), [Violation::Unexpected(_)]));
}
