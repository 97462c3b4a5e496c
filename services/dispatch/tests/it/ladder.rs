//! The ladder, by property: whatever happens when, a rung fires if and only if it was due by the time the ladder stopped.

use chrono::TimeDelta;
use dispatch::domain::command::{Command, Event, Refusal};
use dispatch::domain::ladder::Ladder;
use dispatch::domain::policy::{Policy, Step};
use dispatch::domain::whistle::{Assignment, Whistle, decide};
use dispatch::domain::{
    AssignmentId, AssignmentState, GrievanceId, Kind, LadderId, Outcome, Role, UnitId, WhistleId, WhistleState,
};
use foundation::base::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn at(milliseconds: i64) -> Timestamp {
    T0 + TimeDelta::milliseconds(milliseconds)
}

fn policy(steps: &[i64]) -> Policy {
    let step = |after_ms: &i64| Step { after_ms: *after_ms, sms: None, card: None, callee: None, push: true };
    Policy {
        version: 1,
        drill: false,
        reminder_check_after: TimeDelta::seconds(60),
        platform_fault_after: TimeDelta::minutes(5),
        answer: steps.iter().map(step).collect(),
        handling: vec![step(&-10), step(&10)],
    }
}

fn ladder(policy: &Policy) -> Ladder {
    Ladder::start(LadderId(Uuid::from_u128(1)), (1, Kind::Answer, 1), T0, T0, policy)
}

#[test]
fn a_rung_due_at_the_very_instant_of_the_stop_fires_and_one_due_after_it_does_not() {
    let policy = policy(&[0, 1000, 4000]);
    let mut stopped = ladder(&policy);
    let fired: Vec<_> = stopped.stop(at(1000), &policy).iter().map(|fired| fired.rung.number).collect();
    assert_eq!(fired, [1, 2]);
    assert!(stopped.fire(at(9000), &policy).is_empty());
    let mut stopped = ladder(&policy);
    let fired: Vec<_> = stopped.stop(at(999), &policy).iter().map(|fired| fired.rung.number).collect();
    assert_eq!(fired, [1]);
}

#[test]
fn a_rung_later_than_the_bound_is_the_platforms_fault_and_one_at_the_bound_is_not() {
    let policy = policy(&[0]);
    let fault = |late| ladder(&policy).fire(T0 + late, &policy)[0].rung.platform_fault;
    assert!(!fault(TimeDelta::minutes(5)));
    assert!(fault(TimeDelta::minutes(5) + TimeDelta::milliseconds(1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Fires at random instants, one stop among them, crashes in between (work done and not saved), doubles.
    #[test]
    fn a_rung_fires_once_if_and_only_if_it_is_due_by_the_stop(
        gaps in prop::collection::vec(1_i64..5_000, 0..6),
        passes in prop::collection::vec((0_i64..30_000, any::<bool>()), 0..12),
        stop in prop::option::of(0_i64..30_000),
    ) {
        let dues: Vec<i64> = std::iter::once(0).chain(gaps.iter().scan(0, |sum, gap| { *sum += gap; Some(*sum) })).collect();
        let policy = policy(&dues);
        let mut saved = ladder(&policy);
        let mut fired = Vec::new();
        let mut passes: Vec<_> = passes.into_iter().chain([(40_000, false)]).collect();
        passes.sort_unstable();
        for (now, crash) in passes {
            let mut working = saved.clone();
            let due = stop.filter(|stop| *stop <= now && working.runs());
            let mut now_fired = due.map(|stop| working.stop(at(stop), &policy)).unwrap_or_default();
            now_fired.extend(working.fire(at(now), &policy));
            if !crash {
                saved = working;
                fired.extend(now_fired.into_iter().map(|one| one.rung.number));
            }
        }
        let expected: Vec<i32> = (1..).zip(&dues).filter(|(_, due)| stop.is_none_or(|stop| **due <= stop)).map(|(number, _)| number).collect();
        fired.sort_unstable();
        prop_assert_eq!(fired, expected);
        prop_assert_eq!(saved.next_due(), None);
    }

    /// Random commands at growing times: the whistle never contradicts itself.
    #[test]
    fn whatever_is_asked_a_whistle_closes_only_with_its_last_assignment_and_effects_have_one_name(
        commands in prop::collection::vec((0_u8..6, 0_usize..2, 1_i64..3_000), 1..25),
    ) {
        let policy = policy(&[0, 1_000, 4_000, 15_000]);
        let mut whistle = whistle(&policy);
        let (mut now, mut names, mut closed) = (0, std::collections::BTreeSet::new(), false);
        for (draw, (kind, which, wait)) in commands.into_iter().enumerate() {
            now += wait;
            let before = whistle.clone();
            match decide(Some(&whistle), command(&whistle, kind, which, draw), at(now), &policy) {
                Err(Refusal::Whistle(WhistleState::Open)) => prop_assert!(false, "an open whistle refuses nothing as such"),
                Err(_) => prop_assert_eq!(&before, &whistle, "a refusal changes nothing"),
                Ok((after, events)) => {
                    for event in &events {
                        if let Event::Fired(id, fired) = event {
                            for effect in fired.effects(*id, &policy) {
                                prop_assert!(names.insert(effect.id), "an effect happened twice");
                            }
                            prop_assert!(fired.rung.due_at <= at(now));
                        }
                        closed |= *event == Event::WhistleClosed;
                    }
                    whistle = after;
                }
            }
            let all = whistle.assignments.iter().all(|assignment| assignment.state == AssignmentState::Closed);
            prop_assert_eq!(whistle.state == WhistleState::Closed, all);
            prop_assert_eq!(closed, all);
            for assignment in &whistle.assignments {
                prop_assert!(assignment.ladders.iter().filter(|ladder| ladder.runs()).count() <= 1);
                let answering = assignment.ladders.first().is_some_and(Ladder::runs);
                prop_assert_eq!(answering, assignment.state == AssignmentState::Whistled);
            }
        }
    }
}

fn whistle(policy: &Policy) -> Whistle {
    let assignment = |number: u128| Assignment {
        id: AssignmentId(Uuid::from_u128(number)),
        unit: UnitId(Uuid::from_u128(number)),
        role: Role::Lead,
        state: AssignmentState::Whistled,
        ladders: vec![Ladder { id: LadderId(Uuid::from_u128(100 + number)), ..ladder(policy) }],
    };
    Whistle {
        id: WhistleId(Uuid::from_u128(9)),
        grievance: GrievanceId(Uuid::from_u128(8)),
        area: "150302004".into(),
        matter: "HEATING".into(),
        state: WhistleState::Open,
        handle_due_at: at(50_000),
        blown_at: T0,
        version: 1,
        assignments: vec![assignment(1), assignment(2)],
    }
}

fn command(whistle: &Whistle, kind: u8, assignment: usize, draw: usize) -> Command {
    let assignment = whistle.assignments[assignment].id;
    let ladder = LadderId(Uuid::from_u128(1_000 + draw as u128 * 10));
    let drawn = Uuid::from_u128(1_001 + draw as u128 * 10);
    match kind {
        0 => Command::Answer { assignment, ladder, responsible_person: "甲".into() },
        1 => Command::Submit { assignment, result: "好了".into(), evidence: Vec::new() },
        2 => Command::Grade { whistle: whistle.id, outcome: Outcome::NotSolved, drawn },
        3 => Command::Grade { whistle: whistle.id, outcome: Outcome::Solved, drawn },
        4 => Command::Confirm { assignment },
        _ => Command::Withdraw { whistle: whistle.id, reason: "误吹".into() },
    }
}
