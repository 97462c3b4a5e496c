use chrono::TimeDelta;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn by(role: &str) -> Actor {
    Actor::new("somebody", role)
}

fn new() -> Box<New> {
    Box::new(New {
        id: GrievanceId(Uuid::from_u128(1)),
        channel: "SPEAK_UP".into(),
        text: "路灯不亮".into(),
        place: "示例路".into(),
        area: "150302004001".into(),
        photos: Vec::new(),
        source: None,
        resident: None,
    })
}

fn fresh() -> Grievance {
    decide(None, Command::Raise(new()), &by("grid_worker"), NOW).unwrap().0
}

fn review(grievance: &Grievance, recorded: Recorded) -> Result<Grievance, Refusal> {
    decide(Some(grievance), Command::Review(grievance.id, recorded), &by("street"), NOW).map(|(after, _)| after)
}

fn grade(grievance: &Grievance) -> Result<Grievance, Refusal> {
    let grade = Grade { outcome: Outcome::Solved, satisfaction: Satisfaction::Satisfied, remark: String::new() };
    decide(Some(grievance), Command::Grade(grievance.id, grade), &by("resident"), NOW).map(|(after, _)| after)
}

#[test]
fn the_stages_are_recorded_in_their_order_only() {
    let difficulty = Recorded::Difficulty(Difficulty::Complex);
    assert_eq!(review(&fresh(), difficulty.clone()), Err(Refusal::Stage(Stage::Duty)));
    let duty = review(&fresh(), Recorded::Duty(vec![Uuid::max()])).unwrap();
    assert_eq!(review(&duty, Recorded::Duty(vec![])), Err(Refusal::Stage(Stage::Difficulty)));
    let known = review(&duty, difficulty).unwrap();
    let reviewed = review(&known, Recorded::TimeLimit(NOW + TimeDelta::seconds(1))).unwrap();
    assert_eq!((reviewed.state, reviewed.version), (State::Reviewed, 4));
    assert_eq!(review(&known, Recorded::TimeLimit(NOW)), Err(Refusal::PastDeadline));
}

#[test]
fn a_matter_that_needs_a_whistle_needs_a_unit() {
    let nobody = review(&fresh(), Recorded::Duty(vec![])).unwrap();
    assert_eq!(review(&nobody, Recorded::Difficulty(Difficulty::Hard)), Err(Refusal::NoUnit));
    assert!(review(&nobody, Recorded::Difficulty(Difficulty::Simple)).is_ok());
}

#[test]
fn only_what_was_handed_in_can_be_graded() {
    for state in State::ALL {
        let review = Review { difficulty: Some(Difficulty::Complex), ..Review::default() };
        let whistled = Grievance { state: *state, review, ..fresh() };
        assert_eq!(grade(&whistled).is_ok(), *state == State::Submitted, "{state:?}");
    }
}

#[test]
fn what_the_community_handles_itself_is_closed_by_its_grade() {
    for difficulty in [Difficulty::Simple, Difficulty::Neighbourly] {
        let review = Review { difficulty: Some(difficulty), ..Review::default() };
        let own = Grievance { state: State::Reviewed, review, ..fresh() };
        assert_eq!(grade(&own).unwrap().state, State::Closed);
    }
}

#[test]
fn nobody_hands_in_in_anothers_name_or_takes_a_number_of_a_source() {
    let raise = |new, role| decide(None, Command::Raise(Box::new(new)), &by(role), NOW).map(|(after, _)| after.owner);
    let other = New { resident: Some("other".into()), ..*new() };
    assert_eq!(raise(other.clone(), "resident"), Err(Refusal::AnotherResident));
    assert_eq!(raise(other, "grid_worker"), Ok("other".into()));
    let numbered = New { source: Some(("12345".into(), "GD-1".into())), ..*new() };
    assert_eq!(raise(numbered.clone(), "resident"), Err(Refusal::NoSource));
    assert!(raise(numbered, "hotline").is_ok());
}

fn progress(grievance: &Grievance, whistle: Whistle, state: State) -> Result<Option<State>, Refusal> {
    let progress = Progress { grievance: grievance.id, area: grievance.area.clone(), matter: None, whistle, state };
    let (after, events) = decide(Some(grievance), Command::Progress(progress), &by("street"), NOW)?;
    Ok((!events.is_empty()).then_some(after.state))
}

#[test]
fn an_older_event_changes_nothing_and_a_newer_whistle_wins() {
    // The newer one has the smaller id: hosts' clocks draw ids, Postgres's shows when it blew.
    let old = |version| Whistle { blown_at: NOW, id: Uuid::from_u128(2), version };
    let new = Whistle { blown_at: NOW + TimeDelta::seconds(1), id: Uuid::from_u128(1), version: 1 };
    let known = Grievance { whistle: Some(old(3)), state: State::Handling, ..fresh() };
    assert_eq!(progress(&known, old(3), State::Whistled), Ok(None));
    assert_eq!(progress(&known, old(2), State::Whistled), Ok(None));
    assert_eq!(progress(&known, old(4), State::Submitted), Ok(Some(State::Submitted)));
    assert_eq!(progress(&known, new, State::Whistled), Ok(Some(State::Whistled)));
}

#[test]
fn the_matter_is_learned_however_late_the_first_event_of_the_newest_whistle_comes() {
    let whistle = |id, version| Whistle { blown_at: NOW, id: Uuid::from_u128(id), version };
    let known = Grievance { whistle: Some(whistle(2, 3)), state: State::Handling, ..fresh() };
    let first = |whistle| {
        let (area, matter) = (known.area.clone(), Some("HEATING".to_owned()));
        let progress = Progress { grievance: known.id, area, matter, whistle, state: State::Whistled };
        let (after, _) = decide(Some(&known), Command::Progress(progress), &by("street"), NOW).unwrap();
        (after.state, after.matter)
    };
    assert_eq!(first(whistle(2, 1)), (State::Handling, Some("HEATING".into())));
    assert_eq!(first(whistle(1, 1)), (State::Handling, None), "that is another whistle's");
}

#[test]
fn a_whistle_over_a_grievance_that_is_not_reviewed_or_lies_elsewhere_is_not_believed() {
    let whistle = Whistle { blown_at: NOW, id: Uuid::max(), version: 1 };
    assert_eq!(progress(&fresh(), whistle, State::Whistled), Err(Refusal::State(State::Raised)));
    let reviewed = Grievance { state: State::Reviewed, ..fresh() };
    let (grievance, area) = (reviewed.id, "150302005".into());
    let elsewhere = Progress { grievance, area, matter: None, whistle, state: State::Closed };
    let moved = decide(Some(&reviewed), Command::Progress(elsewhere), &by("street"), NOW);
    assert_eq!(moved, Err(Refusal::OtherArea));
}
