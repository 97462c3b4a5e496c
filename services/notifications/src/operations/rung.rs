//! Rungs that fired: their reminders and calls are written down under their effects' ids, once, and queued for delivery.

use foundation::out::{Enqueued, enqueue};
use sqlx::PgConnection;

use crate::deliveries;
use crate::domain::rung::Fired;
use crate::error::Error;
use crate::store;

/// As many statements for one rung as for a batch.
pub async fn run_many(tx: &mut PgConnection, fired: &[Fired]) -> Result<(), Error> {
    let (mut messages, mut calls, mut queued) = (Vec::new(), Vec::new(), Vec::new());
    for one in fired {
        let traceparent = one.traceparent.as_deref();
        let sms = one.messages.iter().map(|message| deliveries::sms::queued(message, traceparent));
        let call = one.calls.iter().map(|asked| deliveries::call::queued(asked, traceparent));
        queued.extend(sms.chain(call));
        messages.extend_from_slice(&one.messages);
        calls.extend_from_slice(&one.calls);
    }
    store::message::add(tx, &messages).await?;
    store::call_task::add(tx, &calls).await?;
    Ok(enqueue(tx, &queued as &[Enqueued<'_>]).await?)
}
