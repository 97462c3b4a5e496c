//! The main job without NATS: it only makes things fast.

use std::time::Duration;

use local::demo::{Screen, play};
use local::process::free_port;
use local::stack::Stack;
use proto::TOPOLOGY;
use sqlx::{Connection as _, PgConnection};
use testing::{eventually, run};

async fn ids(stack: &Stack, service: &str, query: &'static str, subject: &str, consumer: &str) -> Vec<uuid::Uuid> {
    let mut connection = PgConnection::connect(&stack.databases[service]).await.unwrap();
    sqlx::query_scalar(query).bind(subject).bind(consumer).fetch_all(&mut connection).await.unwrap()
}

/// Whether the consumer's inbox holds every event of the subject.
async fn delivered(stack: &Stack, publisher: &str, subject: &str, consumer: &str) -> bool {
    let published = "select event_id from outbox where subject = $1 and $2 <> '' order by event_id";
    let inbox = "select event_id from inbox where subject = $1 and consumer = $2 and state = 'done' order by event_id";
    ids(stack, publisher, published, subject, consumer).await == ids(stack, consumer, inbox, subject, consumer).await
}

#[test]
fn the_main_job_comes_through_with_nats_at_a_closed_port() {
    run(async {
        let nats = format!("nats://127.0.0.1:{}", free_port().unwrap());
        let options = local::stack::Options { nats_for_services: Some(nats), ..system_tests::options() };
        let stack = Stack::start(&options).await.unwrap();
        assert!(play(&stack, Duration::from_secs(1), None, &Screen::Nobody).await.unwrap());
        for topic in TOPOLOGY {
            for consumer in topic.consumers {
                let what = format!("{consumer} has received every {}", topic.subject);
                eventually(&what, || delivered(&stack, topic.publisher(), topic.subject, consumer)).await;
            }
        }
        assert_no_connection(&stack, "dispatch", &["notifications", "oversight"]).await;
        stack.stop().await;
    });
}

/// The process has no socket connected to a port of these services.
async fn assert_no_connection(stack: &Stack, service: &str, others: &[&str]) {
    let replica = stack.replicas.iter().find(|replica| replica.service == service).unwrap();
    let pid = replica.pid();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let own: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    assert!(!own.is_empty());
    for other in others {
        for address in stack.addresses(other) {
            let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
            let remote = format!(":{port:04X}");
            let connected = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
            let found = connected
                .into_iter()
                .any(|line| line[2].ends_with(&remote) && own.iter().any(|inode| inode == line[9]));
            assert!(!found, "{service} has a connection to {other}");
        }
    }
}
