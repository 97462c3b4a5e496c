//! Answering a whistle by the link in a reminder: the link is the credential, dispatch answers.

use foundation::base::{Actor, Timestamp};
use foundation::data::Db;
use uuid::Uuid;

use crate::dispatch::{Dispatch, Replied};
use crate::domain::link::{self, Links, Unusable};
use crate::error::Error;
use crate::store;

/// What the answering works with.
#[derive(Debug, Clone)]
pub struct Answering {
    /// The database.
    pub db: Db,
    /// The service that knows the assignment.
    pub dispatch: Dispatch,
    /// What links are made with.
    pub links: Links,
}

/// What a link answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// The assignment.
    pub assignment: Uuid,
    /// When.
    pub at: Timestamp,
}

/// Answers for the unit that the link was sent to. Repeating it with the same name gives the same answer.
pub async fn answer(answering: &Answering, token: &str, responsible_person: &str) -> Result<Answered, Error> {
    let id = answering.links.message(token).ok_or(Unusable::Invalid)?;
    let loaded = store::message::load(&mut *answering.db.rpc().acquire().await?, &[id]).await?;
    let loaded = loaded.first().ok_or(Unusable::Invalid)?;
    let assignment = link::answerable(&loaded.message, loaded.now)?;
    let whoever = Actor::new(format!("link:{id}"), "unit");
    match answering.dispatch.answer(&whoever, id, assignment, responsible_person).await? {
        Replied::At(at) => Ok(Answered { assignment, at }),
        Replied::Otherwise => Err(Unusable::Used.into()),
    }
}
