//! The loop as a grievance sees it: raised, reviewed in three stages, then what its whistle's facts say, graded, closed.

pub mod photo;

use foundation::clock::Timestamp;
use foundation::words;
use uuid::Uuid;

words! {
    /// Where a grievance stands.
    State {
        /// 出卷
        Raised = "raised",
        /// All three stages are recorded.
        Reviewed = "reviewed",
        /// 吹哨
        Whistled = "whistled",
        /// 答卷
        Handling = "handling",
        /// 交卷
        Submitted = "submitted",
        /// 评卷
        Graded = "graded",
        /// Done.
        Closed = "closed",
    }
    /// How difficult the matter is; sets the route.
    Difficulty {
        /// 简单
        Simple = "simple",
        /// 复杂
        Complex = "complex",
        /// 耗时长
        Long = "long",
        /// 疑难
        Hard = "hard",
        /// 小需求
        Neighbourly = "neighbourly",
    }
    /// The resident's grade.
    Outcome {
        /// 解决
        Solved = "solved",
        /// 部分解决
        PartlySolved = "partly_solved",
        /// 未解决
        NotSolved = "not_solved",
    }
    /// The resident's satisfaction.
    Satisfaction {
        /// 满意
        Satisfied = "satisfied",
        /// 基本满意
        BasicallySatisfied = "basically_satisfied",
        /// 不满意
        NotSatisfied = "not_satisfied",
    }
}

/// A grievance, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grievance {
    /// Where it stands.
    pub state: State,
    /// Review stage 1.
    pub units: Option<Vec<Uuid>>,
    /// Review stage 2.
    pub difficulty: Option<Difficulty>,
    /// Review stage 3.
    pub handle_by: Option<Timestamp>,
    /// The newest whistle, and the newest fact heard of it.
    pub whistle: Option<Whistle>,
}

/// How far a whistle has come, as its facts say: ordered by T0, so that the newest fact of the newest whistle is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whistle {
    /// T0.
    pub blown_at: Timestamp,
    /// Its id.
    pub id: Uuid,
    /// Version of the fact.
    pub version: i64,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// 一审职责
    Duty(Vec<Uuid>),
    /// 二审难度
    Difficulty(Difficulty),
    /// 三审时效
    TimeLimit(Timestamp),
    /// 评卷
    Grade,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A stage was recorded, and more follow.
    StageRecorded,
    /// The last stage was recorded.
    Reviewed(Difficulty),
    /// The resident graded.
    Graded,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The loop is at another step.
    #[error("the grievance is {}", .0.word())]
    State(State),
    /// The stages come in order: duty, difficulty, time limit.
    #[error("the next review stage is {0}")]
    Stage(&'static str),
    /// A whistle needs a unit.
    #[error("stage duty names no unit, and this difficulty needs a whistle")]
    NoUnit,
    /// Handling takes time.
    #[error("the time limit is not in the future")]
    Past,
}

/// What a command does to a grievance at an instant, or why it does nothing.
pub fn decide(grievance: &Grievance, command: Command, now: Timestamp) -> Result<(Grievance, Event), Refusal> {
    let mut after = grievance.clone();
    let event = match (command, grievance.state) {
        (Command::Duty(units), State::Raised) => {
            stage(grievance, "duty")?;
            after.units = Some(units);
            Event::StageRecorded
        }
        (Command::Difficulty(difficulty), State::Raised) => {
            stage(grievance, "difficulty")?;
            if needs_whistle(difficulty) && grievance.units.as_ref().is_none_or(Vec::is_empty) {
                return Err(Refusal::NoUnit);
            }
            after.difficulty = Some(difficulty);
            Event::StageRecorded
        }
        (Command::TimeLimit(until), State::Raised) => {
            stage(grievance, "time_limit")?;
            let difficulty = grievance.difficulty.ok_or(Refusal::Stage("difficulty"))?;
            if until <= now {
                return Err(Refusal::Past);
            }
            after.handle_by = Some(until);
            after.state = State::Reviewed;
            Event::Reviewed(difficulty)
        }
        (Command::Grade, _) => {
            after.state = graded(grievance)?;
            Event::Graded
        }
        (
            Command::Duty(_) | Command::Difficulty(_) | Command::TimeLimit(_),
            State::Reviewed | State::Whistled | State::Handling | State::Submitted | State::Graded | State::Closed,
        ) => return Err(Refusal::State(grievance.state)),
    };
    Ok((after, event))
}

fn stage(grievance: &Grievance, asked: &str) -> Result<(), Refusal> {
    let next = match (&grievance.units, grievance.difficulty) {
        (None, _) => "duty",
        (Some(_), None) => "difficulty",
        (Some(_), Some(_)) => "time_limit",
    };
    if next == asked { Ok(()) } else { Err(Refusal::Stage(next)) }
}

/// What a grade makes of it. What the community handles itself has no whistle that could close it: its grade does.
fn graded(grievance: &Grievance) -> Result<State, Refusal> {
    match grievance.state {
        State::Submitted => Ok(State::Graded),
        State::Reviewed if !grievance.difficulty.is_some_and(needs_whistle) => Ok(State::Closed),
        State::Raised | State::Reviewed | State::Whistled | State::Handling | State::Graded | State::Closed => {
            Err(Refusal::State(grievance.state))
        }
    }
}

fn needs_whistle(difficulty: Difficulty) -> bool {
    match difficulty {
        Difficulty::Complex | Difficulty::Long | Difficulty::Hard => true,
        Difficulty::Simple | Difficulty::Neighbourly => false,
    }
}

/// What a whistle's fact says of the grievance: the newest fact of the newest whistle decides, whatever order they come in.
/// Before its review a grievance has no whistle.
pub fn heard(grievance: &Grievance, whistle: Whistle, state: State) -> Result<Option<Grievance>, Refusal> {
    match grievance.state {
        State::Raised => Err(Refusal::State(State::Raised)),
        State::Reviewed | State::Whistled | State::Handling | State::Submitted | State::Graded | State::Closed => {
            let newer = grievance.whistle < Some(whistle);
            Ok(newer.then(|| Grievance { state, whistle: Some(whistle), ..grievance.clone() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn raised() -> Grievance {
        Grievance { state: State::Raised, units: None, difficulty: None, handle_by: None, whistle: None }
    }

    fn later(grievance: &Grievance, command: Command) -> Grievance {
        decide(grievance, command, NOW).unwrap().0
    }

    #[test]
    fn the_stages_are_recorded_in_their_order_only() {
        let difficulty = Command::Difficulty(Difficulty::Complex);
        assert_eq!(decide(&raised(), difficulty.clone(), NOW), Err(Refusal::Stage("duty")));
        let duty = later(&raised(), Command::Duty(vec![Uuid::max()]));
        assert_eq!(decide(&duty, Command::Duty(vec![]), NOW), Err(Refusal::Stage("difficulty")));
        let known = later(&duty, difficulty);
        let reviewed = later(&known, Command::TimeLimit(NOW + TimeDelta::seconds(1)));
        assert_eq!(reviewed.state, State::Reviewed);
        assert_eq!(decide(&known, Command::TimeLimit(NOW), NOW), Err(Refusal::Past));
    }

    #[test]
    fn a_matter_that_needs_a_whistle_needs_a_unit() {
        let nobody = later(&raised(), Command::Duty(vec![]));
        assert_eq!(decide(&nobody, Command::Difficulty(Difficulty::Hard), NOW), Err(Refusal::NoUnit));
        assert!(decide(&nobody, Command::Difficulty(Difficulty::Simple), NOW).is_ok());
    }

    #[test]
    fn only_what_was_handed_in_can_be_graded() {
        for state in State::ALL {
            let whistled = Grievance { state: *state, difficulty: Some(Difficulty::Complex), ..raised() };
            let graded = decide(&whistled, Command::Grade, NOW);
            assert_eq!(graded.is_ok(), *state == State::Submitted, "{state:?}");
        }
    }

    #[test]
    fn what_the_community_handles_itself_is_closed_by_its_grade() {
        for difficulty in [Difficulty::Simple, Difficulty::Neighbourly] {
            let own = Grievance { state: State::Reviewed, difficulty: Some(difficulty), ..raised() };
            let (after, event) = decide(&own, Command::Grade, NOW).unwrap();
            assert_eq!((after.state, event), (State::Closed, Event::Graded));
        }
    }

    #[test]
    fn an_older_fact_changes_nothing_and_a_newer_whistle_wins() {
        // The newer one has the smaller id: hosts' clocks draw ids, Postgres's says when it blew.
        let old = |version| Whistle { blown_at: NOW, id: Uuid::from_u128(2), version };
        let new = Whistle { blown_at: NOW + TimeDelta::seconds(1), id: Uuid::from_u128(1), version: 1 };
        let known = Grievance { whistle: Some(old(3)), state: State::Handling, ..raised() };
        let after = |whistle, state| heard(&known, whistle, state).unwrap().map(|after| after.state);
        assert_eq!(after(old(3), State::Whistled), None);
        assert_eq!(after(old(2), State::Whistled), None);
        assert_eq!(after(old(4), State::Submitted), Some(State::Submitted));
        assert_eq!(after(new, State::Whistled), Some(State::Whistled));
    }

    #[test]
    fn a_whistle_over_a_grievance_that_is_not_reviewed_is_not_believed() {
        let whistle = Whistle { blown_at: NOW, id: Uuid::max(), version: 1 };
        assert_eq!(heard(&raised(), whistle, State::Whistled), Err(Refusal::State(State::Raised)));
    }
}
