//! Faults of the outside world.

use std::time::Duration;

use futures::future::BoxFuture;
use local::stand_ins::Mood;

use super::{Field, Struck};

/// F19: the gateway times out after taking a message, fails before and after, answers slowly, limits the rate, and tells late
/// that a message was not delivered.
pub fn gateway<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let began = tokio::time::Instant::now();
        field.wait(3.0).await;
        let moods =
            [Mood::SilentAfter, Mood::Undeliverable, Mood::FailsAfter, Mood::FailsBefore, Mood::Slow, Mood::Limited];
        for mood in moods.into_iter().cycle() {
            if began.elapsed() + Duration::from_secs(10) > field.span {
                break;
            }
            let from = local::now();
            field.rig.stack.gateway.moods.set(mood);
            field.wait(3.0).await;
            field.rig.stack.gateway.moods.set(Mood::Good);
            field.window(from);
            // Until it has healed: the next mood excuses nothing of this one's.
            field.wait(12.5).await;
        }
        Ok(Struck { count: field.rig.stack.gateway.moods.spoiled(), what: "requests spoiled" })
    })
}

/// F20: 阳光+ is down for a day of the policy.
pub fn platform<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(5.0).await;
        let from = local::now();
        field.rig.stack.platform.moods.set(Mood::FailsBefore);
        field.wait(field.span.as_secs_f64() * 0.6).await;
        field.rig.stack.platform.moods.set(Mood::Good);
        field.window(from);
        Ok(Struck { count: field.rig.stack.platform.moods.spoiled(), what: "pushes refused" })
    })
}
