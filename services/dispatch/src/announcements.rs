//! Domain event -> proto event and its audiences. The first event of a change that is not its own history carries the row of history.

use foundation::base::{Context, Timestamp};
use foundation::log::{Announcement, Audiences};
use serde_json::{Value, json};

use crate::domain::command::Event;
use crate::domain::ladder::{Due, Fired};
use crate::domain::policy::{Created, Policy};
use crate::domain::whistle::{Assignment, Changed, Whistle};
use crate::domain::{AssignmentId, directory};
use crate::wire::event as wire;

/// Whoever may see a whistle.
fn audiences(whistle: &Whistle) -> Audiences {
    let own = Audiences::default().area(&whistle.area).matter(&whistle.matter);
    whistle.assignments.iter().fold(own, |audiences, assignment| audiences.unit(assignment.unit.0))
}

/// What others may learn of a change.
pub fn of(context: &Context, changed: &Changed, policy: &Policy) -> Vec<Announcement> {
    let audiences = audiences(&changed.whistle);
    let (mut announced, mut noted) = (Vec::new(), false);
    for event in &changed.events {
        let Some(announcement) = announcement(context, changed, event, policy, &audiences) else { continue };
        match history(event).filter(|_| !noted) {
            Some((kind, data)) => {
                noted = true;
                announced.push(announcement.with_history(kind, data));
            }
            None => announced.push(announcement),
        }
    }
    announced
}

fn announcement(
    context: &Context,
    changed: &Changed,
    event: &Event,
    policy: &Policy,
    to: &Audiences,
) -> Option<Announcement> {
    let (whistle, at) = (&changed.whistle, changed.at);
    let assignment = |id: &AssignmentId| whistle.assignments.iter().find(|assignment| assignment.id == *id);
    Some(match event {
        Event::Blown(_) => Announcement::of(wire::blown(whistle, policy), to, context),
        Event::Fired(id, fired) => of_rung(context, whistle, assignment(id)?, fired, policy, to),
        Event::Answered(id, _) => Announcement::of(wire::answered(whistle, assignment(id)?, at), to, context),
        Event::Submitted(id, ..) => Announcement::of(wire::submitted(whistle, assignment(id)?, at), to, context),
        Event::Graded(id, outcome) => Announcement::of(wire::graded(whistle, assignment(id)?, *outcome), to, context),
        Event::Returned(id, until) => Announcement::of(wire::returned(whistle, assignment(id)?, *until), to, context),
        Event::Closed(id) => Announcement::of(wire::assignment_closed(whistle, assignment(id)?, at), to, context),
        Event::CardAnnulled(id, ladder, rung, card, _) => {
            let event = wire::card_annulled(whistle, assignment(id)?, (*ladder, *rung, *card), at);
            Announcement::of(event, to, context)
        }
        Event::WhistleWithdrawn(_) => Announcement::of(wire::withdrawn(whistle, at), to, context),
        Event::WhistleClosed => Announcement::of(wire::closed(whistle, at), to, context),
        Event::Started(..) | Event::Stopped(..) => return None,
    })
}

/// What a change is in history; none for what is its own.
fn history(event: &Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Blown(blow) => {
            let units: Vec<_> = blow.assignees.iter().map(|one| one.unit.0).collect();
            ("blown", json!({ "units": units, "difficulty": blow.difficulty, "handle_due_at": blow.handle_due_at }))
        }
        Event::Answered(id, _) => ("answered", json!({ "assignment": id.0 })),
        Event::Submitted(id, ..) => ("submitted", json!({ "assignment": id.0 })),
        Event::Graded(_, outcome) => ("graded", json!({ "outcome": outcome })),
        Event::Closed(id) => ("confirmed", json!({ "assignment": id.0 })),
        Event::CardAnnulled(id, _, rung, card, reason) => {
            ("card_annulled", json!({ "assignment": id.0, "rung": rung, "card": card, "reason": reason }))
        }
        Event::WhistleWithdrawn(reason) => ("withdrawn", json!({ "reason": reason })),
        Event::Fired(..) | Event::Returned(..) | Event::WhistleClosed | Event::Started(..) | Event::Stopped(..) => {
            return None;
        }
    })
}

fn of_rung(
    context: &Context,
    whistle: &Whistle,
    assignment: &Assignment,
    fired: &Fired,
    policy: &Policy,
    to: &Audiences,
) -> Announcement {
    let named = (assignment.id, assignment.unit, assignment.role);
    let event = wire::rung_fired(wire::whistle_ref(whistle), named, &whistle.matter, fired, policy);
    Announcement::of(event, to, context)
}

/// A rung that time fired; its own row is its history.
pub fn rung_fired(context: &Context, due: &Due, fired: &Fired, policy: &Policy) -> Announcement {
    let whistle = wire::reference(due.whistle, due.grievance, &due.area, due.blown_at);
    let event = wire::rung_fired(whistle, (due.id, due.unit, due.role), &due.matter, fired, policy);
    Announcement::of(event, &Audiences::default().area(&due.area).matter(&due.matter).unit(due.unit.0), context)
}

/// An entry of the directory changed. Only those who see all of it learn of it, and the unit of its own.
pub fn entry_changed(context: &Context, changed: &directory::Changed) -> Announcement {
    match &changed.command {
        directory::Command::PutUnit { id, contacts, .. } => {
            let roles: Vec<_> = contacts.iter().map(|contact| contact.role).collect();
            let event = wire::unit_changed(*id, changed.version);
            let announcement = Announcement::of(event, &Audiences::default().unit(id.0), context);
            announcement.with_history("unit_put", json!({ "roles": roles }))
        }
        directory::Command::PutDeputyMayor { matter, .. } => {
            let event = wire::deputy_mayor_changed(matter, changed.version);
            Announcement::of(event, &Audiences::default(), context).with_history("deputy_mayor_put", json!({}))
        }
    }
}

/// A policy was added.
pub fn policy_created(context: &Context, created: &Created) -> Announcement {
    let (event, at): (_, Timestamp) = (wire::policy_created(&created.policy), created.at);
    Announcement::of(event, &Audiences::default(), context)
        .with_history("policy_created", json!({ "drill": created.policy.drill, "at": at }))
}
