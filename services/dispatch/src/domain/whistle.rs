//! The loop of a whistle: 吹哨, 应哨, 交卷, 评卷, closed; and what it does to the ladders.

use foundation::clock::Timestamp;
use foundation::words;

use super::ladder::{Fired, Kind, Ladder};
use super::policy::Policy;
use super::{AssignmentId, Card, LadderId, Outcome, Role, UnitId, WhistleId};

words! {
    /// Where a whistle stands.
    State {
        /// Some assignment is not closed.
        Open = "open",
        /// Every assignment is closed.
        Closed = "closed",
        /// The street took it back.
        Withdrawn = "withdrawn",
    }
    /// Where a unit's share stands.
    Share {
        /// 吹哨
        Whistled = "whistled",
        /// 应哨
        Answered = "answered",
        /// 交卷
        Submitted = "submitted",
        /// Confirmed by the street.
        Closed = "closed",
        /// With the whistle.
        Withdrawn = "withdrawn",
    }
}

/// A whistle, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whistle {
    /// Its id.
    pub id: WhistleId,
    /// Where it stands.
    pub state: State,
    /// By when it shall be handled.
    pub handle_by: Timestamp,
    /// How long units had for handling at first; a returned one gets it again.
    pub blown_at: Timestamp,
    /// Every unit's share.
    pub assignments: Vec<Assignment>,
}

/// A unit's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its id.
    pub id: AssignmentId,
    /// The unit.
    pub unit: UnitId,
    /// Lead or supporting.
    pub role: Role,
    /// Where it stands.
    pub state: Share,
    /// Oldest first; at most the last one runs.
    pub ladders: Vec<Ladder>,
}

/// What can be asked of a whistle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The unit answers. The new ladder's id is drawn outside.
    Answer {
        /// Whose share.
        assignment: AssignmentId,
        /// Id for the handling ladder.
        ladder: LadderId,
    },
    /// The unit hands in.
    Submit {
        /// Whose share.
        assignment: AssignmentId,
    },
    /// The resident has graded what was handed in; not solved goes back to the units.
    Grade {
        /// How.
        outcome: Outcome,
        /// Ids for the handling ladders that may start, one an assignment.
        ladders: Vec<LadderId>,
    },
    /// The street confirms a share.
    Confirm {
        /// Whose share.
        assignment: AssignmentId,
    },
    /// The street takes the whistle back.
    Withdraw,
    /// The centre annuls a card.
    AnnulCard {
        /// Whose card.
        assignment: AssignmentId,
        /// Of which ladder.
        ladder: LadderId,
        /// Of which rung.
        rung: i32,
        /// Why.
        reason: String,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A rung fired.
    Fired(AssignmentId, Fired),
    /// A ladder stopped.
    Stopped(AssignmentId, LadderId),
    /// A ladder started.
    Started(AssignmentId, Ladder),
    /// 应哨
    Answered(AssignmentId),
    /// 交卷
    Submitted(AssignmentId),
    /// Graded; the share keeps it.
    Graded(AssignmentId, Outcome),
    /// Graded as not solved: the unit handles it again.
    Returned(AssignmentId, Timestamp),
    /// Confirmed by the street.
    Closed(AssignmentId),
    /// A card was annulled, for a reason.
    CardAnnulled(AssignmentId, LadderId, i32, Card, String),
    /// The last share was closed.
    WhistleClosed,
    /// Taken back.
    WhistleWithdrawn,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The whistle is over.
    #[error("the whistle is {}", .0.word())]
    Whistle(State),
    /// The share is at another step.
    #[error("the assignment is {}", .0.word())]
    Share(Share),
    /// No such share, ladder or rung.
    #[error("the whistle has no such assignment or rung")]
    Unknown,
    /// The rung has shown no card, or it is annulled already.
    #[error("there is no card to annul")]
    NoCard,
}

/// What a command does to a whistle at an instant, or why it does nothing.
pub fn decide(
    whistle: &Whistle,
    command: Command,
    now: Timestamp,
    policy: &Policy,
) -> Result<(Whistle, Vec<Event>), Refusal> {
    let mut whistle = whistle.clone();
    let mut events = Vec::new();
    match (command, whistle.state) {
        (Command::AnnulCard { assignment, ladder, rung, reason }, State::Open | State::Closed | State::Withdrawn) => {
            annul(whistle.share(assignment)?, ladder, rung, reason, &mut events)?;
        }
        (Command::Answer { assignment, ladder }, State::Open) => {
            let next = (ladder, whistle.handle_by);
            answer(whistle.share(assignment)?, next, now, policy, &mut events)?;
        }
        (Command::Submit { assignment }, State::Open) => submit(whistle.share(assignment)?, now, policy, &mut events)?,
        (Command::Grade { outcome, ladders }, State::Open | State::Closed | State::Withdrawn) => {
            let again = now + (whistle.handle_by - whistle.blown_at);
            for (share, ladder) in whistle.assignments.iter_mut().zip(ladders) {
                grade(share, outcome, (ladder, again), now, policy, &mut events);
            }
        }
        (Command::Confirm { assignment }, State::Open) => {
            confirm(whistle.share(assignment)?, &mut events)?;
            whistle.close_with_the_last(&mut events);
        }
        (Command::Withdraw, State::Open) => {
            for share in &mut whistle.assignments {
                withdraw(share, now, policy, &mut events);
            }
            whistle.state = State::Withdrawn;
            events.push(Event::WhistleWithdrawn);
        }
        (
            Command::Answer { .. } | Command::Submit { .. } | Command::Confirm { .. } | Command::Withdraw,
            State::Closed | State::Withdrawn,
        ) => return Err(Refusal::Whistle(whistle.state)),
    }
    Ok((whistle, events))
}

impl Whistle {
    fn share(&mut self, id: AssignmentId) -> Result<&mut Assignment, Refusal> {
        self.assignments.iter_mut().find(|share| share.id == id).ok_or(Refusal::Unknown)
    }

    fn close_with_the_last(&mut self, events: &mut Vec<Event>) {
        if self.assignments.iter().all(|share| share.state == Share::Closed) {
            self.state = State::Closed;
            events.push(Event::WhistleClosed);
        }
    }
}

impl Assignment {
    /// When its running ladder is next due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.ladders.last().and_then(Ladder::next_due)
    }

    fn stop_ladder(&mut self, now: Timestamp, policy: &Policy, events: &mut Vec<Event>) {
        let id = self.id;
        if let Some(ladder) = self.ladders.last_mut().filter(|ladder| ladder.runs()) {
            events.extend(ladder.stop(now, policy).into_iter().map(|fired| Event::Fired(id, fired)));
            events.push(Event::Stopped(id, ladder.id));
        }
    }

    fn start_handling(
        &mut self,
        (id, until): (LadderId, Timestamp),
        now: Timestamp,
        policy: &Policy,
        events: &mut Vec<Event>,
    ) {
        let earlier =
            self.ladders.iter().filter(|ladder| ladder.kind == Kind::Handling).map(|ladder| ladder.generation);
        let generation = earlier.max().unwrap_or(0) + 1;
        let ladder = Ladder::start(id, Kind::Handling, generation, until, now, policy);
        events.push(Event::Started(self.id, ladder.clone()));
        self.ladders.push(ladder);
    }
}

/// Fires what is already due, then stops the ladder: the answer counts from the instant it is recorded.
fn answer(
    share: &mut Assignment,
    next: (LadderId, Timestamp),
    now: Timestamp,
    policy: &Policy,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    match share.state {
        Share::Whistled => {
            share.stop_ladder(now, policy, events);
            share.state = Share::Answered;
            events.push(Event::Answered(share.id));
            share.start_handling(next, now, policy, events);
            Ok(())
        }
        Share::Answered | Share::Submitted | Share::Closed | Share::Withdrawn => Err(Refusal::Share(share.state)),
    }
}

fn submit(share: &mut Assignment, now: Timestamp, policy: &Policy, events: &mut Vec<Event>) -> Result<(), Refusal> {
    match share.state {
        Share::Answered => {
            share.stop_ladder(now, policy, events);
            share.state = Share::Submitted;
            events.push(Event::Submitted(share.id));
            Ok(())
        }
        Share::Whistled | Share::Submitted | Share::Closed | Share::Withdrawn => Err(Refusal::Share(share.state)),
    }
}

/// A grade may be heard after the street has confirmed: it is recorded then, and returns nothing.
fn grade(
    share: &mut Assignment,
    outcome: Outcome,
    next: (LadderId, Timestamp),
    now: Timestamp,
    policy: &Policy,
    events: &mut Vec<Event>,
) {
    match (share.state, outcome) {
        (Share::Submitted, Outcome::Solved | Outcome::PartlySolved) | (Share::Closed, _) => {
            events.push(Event::Graded(share.id, outcome));
        }
        (Share::Submitted, Outcome::NotSolved) => {
            events.push(Event::Graded(share.id, outcome));
            share.state = Share::Answered;
            events.push(Event::Returned(share.id, next.1));
            share.start_handling(next, now, policy, events);
        }
        (Share::Whistled | Share::Answered | Share::Withdrawn, _) => {}
    }
}

fn confirm(share: &mut Assignment, events: &mut Vec<Event>) -> Result<(), Refusal> {
    match share.state {
        Share::Submitted => {
            share.state = Share::Closed;
            events.push(Event::Closed(share.id));
            Ok(())
        }
        Share::Whistled | Share::Answered | Share::Closed | Share::Withdrawn => Err(Refusal::Share(share.state)),
    }
}

fn withdraw(share: &mut Assignment, now: Timestamp, policy: &Policy, events: &mut Vec<Event>) {
    match share.state {
        Share::Whistled | Share::Answered | Share::Submitted => {
            share.stop_ladder(now, policy, events);
            share.state = Share::Withdrawn;
        }
        Share::Closed | Share::Withdrawn => {}
    }
}

fn annul(
    share: &mut Assignment,
    ladder: LadderId,
    rung: i32,
    reason: String,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    let id = share.id;
    let ladder = share.ladders.iter_mut().find(|known| known.id == ladder).ok_or(Refusal::Unknown)?;
    let rung = ladder.rungs.iter_mut().find(|known| known.number == rung).ok_or(Refusal::Unknown)?;
    match rung.card.filter(|_| rung.fired_at.is_some() && rung.annul_reason.is_none()) {
        Some(card) => {
            rung.annul_reason = Some(reason.clone());
            events.push(Event::CardAnnulled(id, ladder.id, rung.number, card, reason));
            Ok(())
        }
        None => Err(Refusal::NoCard),
    }
}
