//! Faults of the network between two addresses.

use std::time::Duration;

use futures::future::BoxFuture;

use super::{Field, Struck};
use crate::faults::proxy::Link;

/// F12: every kind of broken link, on one hop after the other.
pub fn broken<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        use rand::seq::SliceRandom as _;
        let (began, mut hit) = (tokio::time::Instant::now(), 0);
        field.wait(3.0).await;
        let kinds = [Link::Cut, Link::HalfOpen, Link::OneWay, Link::Slow];
        let mut turns: Vec<_> = field.rig.targets().into_iter().flat_map(|hop| kinds.map(|kind| (hop, kind))).collect();
        turns.shuffle(field.rng);
        // Postgres and NATS are every service's hop: each kind of break strikes both, and another hop after each of them.
        let servers = field.rig.stack.servers.addresses()?;
        let (of_servers, others): (Vec<_>, Vec<_>) = turns.into_iter().partition(|(hop, _)| servers.contains(hop));
        let turns = of_servers.into_iter().zip(others).flat_map(|(server, other)| [server, other]);
        for (hop, kind) in turns {
            if began.elapsed() + Duration::from_secs(8) > field.span {
                break;
            }
            let from = local::now();
            hit += field.rig.link(hop, kind) as u64;
            field.wait(4.0).await;
            field.rig.link(hop, Link::Good);
            field.window(from);
            // Until it has healed: the next break excuses nothing of this one's.
            field.wait(10.5).await;
        }
        Ok(Struck { count: hit, what: "connections" })
    })
}
