//! Domain event -> proto event and its audiences. Every change carries one row of history, with the state that it led to.

use foundation::base::{Context, Wire as _};
use foundation::log::{Announcement, Audiences};
use serde_json::json;

use crate::domain::Stage;
use crate::domain::grievance::{Changed, Event, Grievance};
use crate::wire::event as wire;

/// Whoever may see a grievance, or might until this change.
fn audiences(before: Option<&Grievance>, grievance: &Grievance) -> Audiences {
    let own = Audiences::default().area(&grievance.area).person(&grievance.owner);
    let own = if grievance.submitter == grievance.owner { own } else { own.person(&grievance.submitter) };
    let mut matters: Vec<_> = before.and_then(|before| before.matter.as_ref()).into_iter().collect();
    matters.extend(&grievance.matter);
    matters.dedup();
    matters.into_iter().fold(own, |audiences, matter| audiences.matter(matter))
}

/// What others may learn of a change.
pub fn of(
    context: &Context,
    before: Option<&Grievance>,
    Changed { grievance, events, .. }: &Changed,
) -> Vec<Announcement> {
    let to = audiences(before, grievance);
    let state = grievance.state;
    let announced = events.iter().filter_map(|event| {
        Some(match event {
            Event::Raised(new) => Announcement::of(wire::submitted(grievance, new), &to, context)
                .with_history("raised", json!({ "state": state, "channel": new.channel })),
            // Told as the end of the review.
            Event::Recorded(recorded) if recorded.stage() == Stage::TimeLimit => return None,
            Event::Recorded(recorded) => {
                let stage = recorded.stage();
                Announcement::of(wire::stage_recorded(grievance, stage), &to, context)
                    .with_history("review_stage", json!({ "state": state, "stage": stage.label() }))
            }
            Event::Reviewed(difficulty) => Announcement::of(wire::reviewed(grievance, *difficulty), &to, context)
                .with_history("reviewed", json!({ "state": state, "difficulty": difficulty })),
            Event::Graded(grade) => Announcement::of(wire::graded(grievance, grade), &to, context).with_history(
                "graded",
                json!({ "state": state, "outcome": grade.outcome, "satisfaction": grade.satisfaction }),
            ),
            Event::Progressed => Announcement::of(wire::progressed(grievance), &to, context).with_history(
                "progressed",
                json!({ "state": state, "whistle": grievance.whistle.map(|whistle| whistle.id) }),
            ),
        })
    });
    announced.collect()
}
