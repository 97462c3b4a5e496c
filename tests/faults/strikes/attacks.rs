//! F23: what anybody can do to a server with HTTP/2 alone.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use h2::Reason;
use h2::client::{SendRequest, handshake};
use http::{HeaderValue, Request};
use local::issuer::{Issuer, Person};
use proto::dispatch::v1::BlowWhistleRequest;
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;

use super::{Field, Struck};

/// No process may grow beyond this while it is attacked.
const MEMORY: u64 = 200 << 20;

/// Streams opened and reset without end, header lists far over the limit, a small message that unpacks into a large one: dispatch is
/// attacked by each in turn while the ladder runs, which must stay on time: no window excuses it.
pub fn flood<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let began = tokio::time::Instant::now();
        let (mut hit, mut turn) = (0, 0);
        while began.elapsed() + Duration::from_secs(6) < field.span {
            for address in field.rig.stack.addresses("dispatch") {
                // Whoever is thrown out has hit until then; whoever cannot even connect has not, and the row fails.
                hit += match turn % 3 {
                    0 => rapid_reset(&address).await?,
                    1 => headers(&address).await?,
                    _ => bomb(&address, &field.rig.stack.issuer).await?,
                };
            }
            turn += 1;
            bounded(field)?;
            field.wait(0.2).await;
        }
        Ok(Struck { count: hit, what: "streams reset, headers and bombs sent" })
    })
}

async fn connect(address: &str) -> anyhow::Result<SendRequest<bytes::Bytes>> {
    let stream = TcpStream::connect(address.trim_start_matches("http://")).await?;
    let (client, connection) = handshake(stream).await?;
    // It ends when the server has had enough.
    tokio::spawn(async move { connection.await.is_ok() });
    Ok(client.ready().await?)
}

fn request(address: &str) -> anyhow::Result<Request<()>> {
    let path = format!("{address}/haiqu.dispatch.v1.WhistleService/BlowWhistle");
    Ok(Request::post(path).header("content-type", "application/grpc").body(())?)
}

async fn rapid_reset(address: &str) -> anyhow::Result<u64> {
    let mut client = connect(address).await?;
    for reset in 0..500 {
        client = match client.ready().await {
            Ok(client) => client,
            Err(_) => return Ok(reset + 1),
        };
        match client.send_request(request(address)?, false) {
            Ok((_, mut stream)) => stream.send_reset(Reason::CANCEL),
            Err(_) => return Ok(reset + 1),
        }
    }
    Ok(500)
}

async fn headers(address: &str) -> anyhow::Result<u64> {
    let mut client = connect(address).await?;
    let mut request = request(address)?;
    for number in 0..200 {
        let name = http::HeaderName::try_from(format!("x-{number}"))?;
        request.headers_mut().insert(name, HeaderValue::from_str(&"a".repeat(4_000))?);
    }
    let (response, _) = client.send_request(request, true)?;
    let refused = tokio::time::timeout(Duration::from_secs(5), response).await?;
    anyhow::ensure!(!refused.is_ok_and(|response| response.status().is_success()), "800 kB of headers were taken");
    Ok(1)
}

/// 32 MB of one letter, 32 kB on the way.
async fn bomb(address: &str, issuer: &Issuer) -> anyhow::Result<u64> {
    let street = Person { sub: "bomber".into(), roles: vec!["street".into()], ..Person::default() };
    let token = issuer.token(&street)?;
    let channel = Endpoint::from_shared(address.to_owned())?.connect_lazy();
    let mut client = WhistleServiceClient::new(channel).send_compressed(CompressionEncoding::Gzip);
    let mut request = tonic::Request::new(BlowWhistleRequest { title: "a".repeat(32 << 20), ..Default::default() });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let answer = client.blow_whistle(request).await.err().map(|status| status.code());
    // It unpacks no further than to the limit, or does not unpack at all.
    let refused = matches!(answer, Some(Code::OutOfRange | Code::ResourceExhausted | Code::Unimplemented));
    anyhow::ensure!(refused, "a message of 32 MB was answered with {answer:?}");
    Ok(1)
}

/// Every process of dispatch is still small.
fn bounded(field: &Field<'_>) -> anyhow::Result<()> {
    for replica in field.rig.of("dispatch") {
        let status = std::fs::read_to_string(format!("/proc/{}/status", replica.pid())).context("dispatch died")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
        anyhow::ensure!(kilobytes << 10 < MEMORY, "dispatch has grown to {kilobytes} kB under attack");
    }
    Ok(())
}
