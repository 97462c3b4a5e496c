//! The replicas of a service: a call goes to the one with the fewest under way, and for a moment to none that has just failed. So one
//! that sleeps holds only a few calls, and one that is dead does not draw them all by failing fast.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::{self, Channel};

use crate::BoxFuture;

/// How long a replica that failed gets no call that another can take.
const MOMENT: Duration = Duration::from_secs(1);

/// All of them, as one channel.
#[derive(Debug, Clone)]
pub struct Replicas(Arc<Set>);

#[derive(Debug)]
struct Set {
    all: Vec<Replica>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Replica {
    channel: Channel,
    under_way: AtomicUsize,
    failed: Mutex<Option<Instant>>,
}

/// A call under way, however it ends.
struct UnderWay<'r>(&'r Replica);

impl Replicas {
    /// Of these channels.
    pub fn new(channels: Vec<Channel>) -> Replicas {
        let replica = |channel| Replica { channel, under_way: AtomicUsize::new(0), failed: Mutex::default() };
        Replicas(Arc::new(Set { all: channels.into_iter().map(replica).collect(), turn: AtomicUsize::new(0) }))
    }
}

impl Set {
    /// The one to be called next; those that are equal take turns.
    fn next(&self) -> &Replica {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (after, before) = self.all.split_at(turn % self.all.len());
        let cost = |replica: &&Replica| (replica.has_failed(), replica.under_way.load(Ordering::Relaxed));
        before.iter().chain(after).min_by_key(cost).unwrap_or(&self.all[0])
    }
}

impl Replica {
    fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < MOMENT)
    }

    async fn call(&self, request: http::Request<Body>) -> Result<http::Response<Body>, transport::Error> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let _counted = UnderWay(self);
        let mut channel = self.channel.clone();
        let answered = async {
            poll_fn(|context| channel.poll_ready(context)).await?;
            channel.call(request).await
        };
        let answered = answered.await;
        if answered.is_err() {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        answered
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<http::Request<Body>> for Replicas {
    type Response = http::Response<Body>;
    type Error = transport::Error;
    type Future = BoxFuture<'static, Result<http::Response<Body>, transport::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let set = self.0.clone();
        Box::pin(async move { set.next().call(request).await })
    }
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;

    use super::*;

    #[tokio::test]
    async fn calls_go_to_the_least_busy_that_has_not_just_failed_and_equals_take_turns() {
        let channel = |port| Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy();
        let replicas = Replicas::new((1..=3).map(channel).collect());
        let set = &replicas.0;
        let chosen = || (0..3).map(|_| std::ptr::from_ref(set.next())).collect::<std::collections::HashSet<_>>();
        assert_eq!(chosen().len(), 3);
        set.all[0].under_way.store(1, Ordering::Relaxed);
        assert!(!chosen().contains(&std::ptr::from_ref(&set.all[0])));
        *set.all[1].failed.lock().unwrap() = Some(Instant::now());
        assert_eq!(chosen(), [std::ptr::from_ref(&set.all[2])].into());
        for replica in &set.all {
            *replica.failed.lock().unwrap() = Some(Instant::now());
        }
        assert_eq!(chosen().len(), 2, "all have failed, and any may have come back: the least busy are tried");
    }
}
