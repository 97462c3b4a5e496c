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
    /// The newest whistle, and the newest version heard of it.
    pub whistle: Option<(Uuid, i64)>,
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
        (Command::Grade, State::Submitted) => {
            after.state = State::Graded;
            Event::Graded
        }
        (
            Command::Duty(_) | Command::Difficulty(_) | Command::TimeLimit(_),
            State::Reviewed | State::Whistled | State::Handling | State::Submitted | State::Graded | State::Closed,
        )
        | (
            Command::Grade,
            State::Raised | State::Reviewed | State::Whistled | State::Handling | State::Graded | State::Closed,
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

fn needs_whistle(difficulty: Difficulty) -> bool {
    match difficulty {
        Difficulty::Complex | Difficulty::Long | Difficulty::Hard => true,
        Difficulty::Simple | Difficulty::Neighbourly => false,
    }
}

/// What a whistle's fact says of the grievance: the newest fact of the newest whistle decides, whatever order they come in.
pub fn heard(grievance: &Grievance, whistle: Uuid, version: i64, state: State) -> Option<Grievance> {
    let newer = grievance.whistle.is_none_or(|known| known < (whistle, version));
    newer.then(|| Grievance { state, whistle: Some((whistle, version)), ..grievance.clone() })
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
            let graded = decide(&Grievance { state: *state, ..raised() }, Command::Grade, NOW);
            assert_eq!(graded.is_ok(), *state == State::Submitted, "{state:?}");
        }
    }

    #[test]
    fn an_older_fact_changes_nothing_and_a_newer_whistle_wins() {
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let known = Grievance { whistle: Some((old, 3)), state: State::Handling, ..raised() };
        assert_eq!(heard(&known, old, 3, State::Whistled), None);
        assert_eq!(heard(&known, old, 2, State::Whistled), None);
        assert_eq!(heard(&known, old, 4, State::Submitted).map(|after| after.state), Some(State::Submitted));
        assert_eq!(heard(&known, new, 1, State::Whistled).map(|after| after.state), Some(State::Whistled));
    }
}
