//! Catch-up: where a log is read from moves only past what cannot be lost any more.

use std::sync::{Arc, Mutex};

use foundation::base::config::Peers;
use foundation::base::{Stop, Timestamp, time};
use foundation::data::Db;
use foundation::log::catch_up::{self, Source};
use foundation::log::{Received, Routes, bus};
use prost::Message as _;
use proto::Event as _;
use proto::events::v1::event_log_service_server::{EventLogService, EventLogServiceServer};
use proto::events::v1::{LoggedEvent, ReadRequest, ReadResponse, WhistleRef, WhistleWithdrawn};
use sqlx::PgConnection;
use testing::{eventually, run, servers};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A log with one event; knows from where it was read.
#[derive(Clone, Default)]
struct Log {
    read_after: Arc<Mutex<Vec<i64>>>,
}

#[tonic::async_trait]
impl EventLogService for Log {
    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        let ReadRequest { after, .. } = request.into_inner();
        self.read_after.lock().unwrap().push(after);
        let whistle = Some(WhistleRef { whistle_id: "a".into(), ..WhistleRef::default() });
        let event = WhistleWithdrawn { whistle, version: 1, ..WhistleWithdrawn::default() };
        let logged = LoggedEvent {
            position: 1,
            event_id: uuid::Uuid::from_u128(1).to_string(),
            subject: WhistleWithdrawn::SUBJECT.into(),
            aggregate_id: "a".into(),
            payload: event.encode_to_vec().into(),
            occurred_time: Some(time::to_wire(Timestamp::UNIX_EPOCH)),
            ..LoggedEvent::default()
        };
        let events = if after < 1 { vec![logged] } else { Vec::new() };
        Ok(Response::new(ReadResponse { log_id: "log".into(), head: 1, events, next: 1 }))
    }
}

/// Where the log is served.
async fn serve(log: &Log) -> Source {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", incoming.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(EventLogServiceServer::new(log.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let peers = Peers([("dispatch".to_owned(), url)].into());
    catch_up::sources(&routes(None), &peers, &testing::credentials().await).unwrap().remove(0)
}

/// When it applies the event, what was committed before seems to be lost: the connection of who flushes is.
fn routes(dropping: Option<Db>) -> Routes {
    Routes::new("grievances").on(move |tx: &mut PgConnection, _: Received<WhistleWithdrawn>| {
        let dropping = dropping.clone();
        Box::pin(async move {
            sqlx::query("insert into happened (what) values ('withdrawn')").execute(&mut *tx).await?;
            if let Some(db) = dropping {
                super::drop_flusher(tx, &db.instance).await;
            }
            Ok(())
        })
    })
}

#[test]
fn what_a_crash_of_the_server_may_have_taken_is_read_again() {
    run(async {
        let ((db, _), log, stop) = (super::flush::served().await, Log::default(), Stop::new());
        let (source, bus) = (serve(&log).await, bus::connect(&servers().await.nats_url.clone().into(), "test").await);
        let reading = catch_up::run(db.clone(), bus.unwrap(), routes(Some(db.clone())), source, stop.clone());
        let reading = tokio::spawn(reading);
        eventually("it has been read to its end", || async { log.read_after.lock().unwrap().contains(&1) }).await;
        stop.request();
        reading.await.unwrap().unwrap();
        let read_after = log.read_after.lock().unwrap().clone();
        assert!(read_after.iter().filter(|after| **after == -1).count() > 1, "{read_after:?}");
    });
}
