//! The loop of a whistle: 吹哨, 应哨, 交卷, 评卷, closed; and what it does to the ladders.

use foundation::base::{Timestamp, id};

use super::command::{Assignee, Blow, Command, Event, Evidence, Key, Refusal};
use super::directory::Missing;
use super::ladder::Ladder;
use super::policy::Policy;
use super::{
    AssignmentId, AssignmentState, GrievanceId, Kind, LadderId, Outcome, Role, UnitId, WhistleId, WhistleState,
};

/// A whistle, as far as decisions and announcements need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whistle {
    /// Its id.
    pub id: WhistleId,
    /// Over what.
    pub grievance: GrievanceId,
    /// Where it belongs.
    pub area: String,
    /// Decides the deputy district mayor in charge.
    pub matter: String,
    /// Its state.
    pub state: WhistleState,
    /// By when it shall be handled.
    pub handle_due_at: Timestamp,
    /// T0.
    pub blown_at: Timestamp,
    /// Grows with every change.
    pub version: i64,
    /// Every unit's.
    pub assignments: Vec<Assignment>,
}

/// A unit's part of a whistle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its id.
    pub id: AssignmentId,
    /// The unit.
    pub unit: UnitId,
    /// Lead or supporting.
    pub role: Role,
    /// Its state.
    pub state: AssignmentState,
    /// In order of their ordinals; at most the last one runs.
    pub ladders: Vec<Ladder>,
}

/// What has become of a whistle.
#[derive(Debug, Clone)]
pub struct Changed {
    /// As it is now.
    pub whistle: Whistle,
    /// What has happened, in order.
    pub events: Vec<Event>,
    /// Which whistle or assignment the command named.
    pub key: Key,
    /// The policy that it keeps.
    pub policy_version: i64,
    /// Contacts that its ladder will need and the directory lacks, where it was blown.
    pub missing: Vec<Missing>,
    /// When.
    pub at: Timestamp,
}

/// What a command does to a whistle, or to none yet, at an instant; or why it does nothing.
pub fn decide(
    whistle: Option<&Whistle>,
    command: Command,
    now: Timestamp,
    policy: &Policy,
) -> Result<(Whistle, Vec<Event>), Refusal> {
    let Some(before) = whistle else {
        return match command {
            Command::Blow(blow) => blown(blow, now, policy),
            Command::Answer { .. }
            | Command::Submit { .. }
            | Command::Grade { .. }
            | Command::Confirm { .. }
            | Command::Withdraw { .. }
            | Command::AnnulCard { .. } => Err(Refusal::Unknown),
        };
    };
    allowed(before, &command)?;
    let (mut after, mut events) = (Whistle { version: before.version + 1, ..before.clone() }, Vec::new());
    after.carry_out(command, now, policy, &mut events)?;
    if events.is_empty() { Ok((before.clone(), events)) } else { Ok((after, events)) }
}

/// Cards are annulled, and grades arrive, after a whistle is over too.
fn allowed(before: &Whistle, command: &Command) -> Result<(), Refusal> {
    match (command, before.state) {
        (Command::Blow(blow), _) => Err(Refusal::OpenAlready(blow.grievance)),
        (Command::AnnulCard { .. } | Command::Grade { .. }, _) | (_, WhistleState::Open) => Ok(()),
        (
            Command::Answer { .. } | Command::Submit { .. } | Command::Confirm { .. } | Command::Withdraw { .. },
            over @ (WhistleState::Closed | WhistleState::Withdrawn),
        ) => Err(Refusal::Whistle(over)),
    }
}

/// T0, every ladder, and the rungs at T0, which fire with it.
fn blown(blow: Box<Blow>, now: Timestamp, policy: &Policy) -> Result<(Whistle, Vec<Event>), Refusal> {
    if blow.handle_due_at <= now {
        return Err(Refusal::PastDeadline);
    }
    let mut fired = Vec::new();
    let assignment = |assignee: &Assignee| {
        let Assignee { unit, role, assignment: id, ladder } = *assignee;
        let mut ladder = Ladder::start(ladder, (1, Kind::Answer, 1), now, now, policy);
        fired.extend(ladder.fire(now, policy).into_iter().map(|rung| Event::Fired(id, rung)));
        Assignment { id, unit, role, state: AssignmentState::Whistled, ladders: vec![ladder] }
    };
    let whistle = Whistle {
        assignments: blow.assignees.iter().map(assignment).collect(),
        id: blow.id,
        grievance: blow.grievance,
        area: blow.area.clone(),
        matter: blow.matter.clone(),
        state: WhistleState::Open,
        handle_due_at: blow.handle_due_at,
        blown_at: now,
        version: 1,
    };
    let events = std::iter::once(Event::Blown(blow)).chain(fired).collect();
    Ok((whistle, events))
}

impl Whistle {
    fn carry_out(
        &mut self,
        command: Command,
        now: Timestamp,
        policy: &Policy,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        match command {
            Command::Blow(blow) => return Err(Refusal::OpenAlready(blow.grievance)),
            Command::AnnulCard { assignment, ladder, rung, reason } => {
                annul(self.assignment(assignment)?, ladder, rung, reason, events)?;
            }
            Command::Answer { assignment, ladder, responsible_person } => {
                let next = (ladder, self.handle_due_at);
                answer(self.assignment(assignment)?, responsible_person, next, now, policy, events)?;
            }
            Command::Submit { assignment, result, evidence } => {
                submit(self.assignment(assignment)?, result, evidence, now, policy, events)?;
            }
            Command::Grade { outcome, drawn, .. } => {
                let again = now + (self.handle_due_at - self.blown_at);
                for assignment in &mut self.assignments {
                    let ladder = LadderId(id::named(drawn, &[&assignment.id.to_string()]));
                    grade(assignment, outcome, (ladder, again), now, policy, events);
                }
            }
            Command::Confirm { assignment } => {
                confirm(self.assignment(assignment)?, events)?;
                self.close_with_the_last(events);
            }
            Command::Withdraw { reason, .. } => {
                self.assignments.iter_mut().for_each(|assignment| withdraw(assignment, now, policy, events));
                self.state = WhistleState::Withdrawn;
                events.push(Event::WhistleWithdrawn(reason));
            }
        }
        Ok(())
    }

    fn assignment(&mut self, id: AssignmentId) -> Result<&mut Assignment, Refusal> {
        self.assignments.iter_mut().find(|assignment| assignment.id == id).ok_or(Refusal::Unknown)
    }

    fn close_with_the_last(&mut self, events: &mut Vec<Event>) {
        if self.assignments.iter().all(|assignment| assignment.state == AssignmentState::Closed) {
            self.state = WhistleState::Closed;
            events.push(Event::WhistleClosed);
        }
    }

    /// Whether no unit still has work to hand in.
    pub fn all_submitted(&self) -> bool {
        self.assignments.iter().all(|assignment| match assignment.state {
            AssignmentState::Submitted | AssignmentState::Closed | AssignmentState::Withdrawn => true,
            AssignmentState::Whistled | AssignmentState::Answered => false,
        })
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
        let ordinal = self.ladders.last().map_or(0, |last| last.ordinal) + 1;
        let ladder = Ladder::start(id, (ordinal, Kind::Handling, generation), until, now, policy);
        events.push(Event::Started(self.id, ladder.clone()));
        self.ladders.push(ladder);
    }
}

/// Fires what is already due, then stops the ladder: the answer counts from the instant it is recorded.
fn answer(
    assignment: &mut Assignment,
    responsible_person: String,
    next: (LadderId, Timestamp),
    now: Timestamp,
    policy: &Policy,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    match assignment.state {
        AssignmentState::Whistled => {
            assignment.stop_ladder(now, policy, events);
            assignment.state = AssignmentState::Answered;
            events.push(Event::Answered(assignment.id, responsible_person));
            assignment.start_handling(next, now, policy, events);
            Ok(())
        }
        AssignmentState::Answered
        | AssignmentState::Submitted
        | AssignmentState::Closed
        | AssignmentState::Withdrawn => Err(Refusal::Assignment(assignment.state)),
    }
}

fn submit(
    assignment: &mut Assignment,
    result: String,
    evidence: Vec<Evidence>,
    now: Timestamp,
    policy: &Policy,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    match assignment.state {
        AssignmentState::Answered => {
            assignment.stop_ladder(now, policy, events);
            assignment.state = AssignmentState::Submitted;
            events.push(Event::Submitted(assignment.id, result, evidence));
            Ok(())
        }
        AssignmentState::Whistled
        | AssignmentState::Submitted
        | AssignmentState::Closed
        | AssignmentState::Withdrawn => Err(Refusal::Assignment(assignment.state)),
    }
}

/// A grade may arrive after the street has confirmed: it is recorded then, and returns nothing.
fn grade(
    assignment: &mut Assignment,
    outcome: Outcome,
    next: (LadderId, Timestamp),
    now: Timestamp,
    policy: &Policy,
    events: &mut Vec<Event>,
) {
    match (assignment.state, outcome) {
        (AssignmentState::Submitted, Outcome::Solved | Outcome::PartlySolved)
        | (AssignmentState::Closed, Outcome::Solved | Outcome::PartlySolved | Outcome::NotSolved) => {
            events.push(Event::Graded(assignment.id, outcome));
        }
        (AssignmentState::Submitted, Outcome::NotSolved) => {
            events.push(Event::Graded(assignment.id, outcome));
            assignment.state = AssignmentState::Answered;
            events.push(Event::Returned(assignment.id, next.1));
            assignment.start_handling(next, now, policy, events);
        }
        (AssignmentState::Whistled | AssignmentState::Answered | AssignmentState::Withdrawn, _) => {}
    }
}

fn confirm(assignment: &mut Assignment, events: &mut Vec<Event>) -> Result<(), Refusal> {
    match assignment.state {
        AssignmentState::Submitted => {
            assignment.state = AssignmentState::Closed;
            events.push(Event::Closed(assignment.id));
            Ok(())
        }
        AssignmentState::Whistled
        | AssignmentState::Answered
        | AssignmentState::Closed
        | AssignmentState::Withdrawn => Err(Refusal::Assignment(assignment.state)),
    }
}

fn withdraw(assignment: &mut Assignment, now: Timestamp, policy: &Policy, events: &mut Vec<Event>) {
    match assignment.state {
        AssignmentState::Whistled | AssignmentState::Answered | AssignmentState::Submitted => {
            assignment.stop_ladder(now, policy, events);
            assignment.state = AssignmentState::Withdrawn;
        }
        AssignmentState::Closed | AssignmentState::Withdrawn => {}
    }
}

fn annul(
    assignment: &mut Assignment,
    ladder: LadderId,
    rung: i32,
    reason: String,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    let id = assignment.id;
    let ladder = assignment.ladders.iter_mut().find(|known| known.id == ladder).ok_or(Refusal::Unknown)?;
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
