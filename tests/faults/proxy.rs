//! A TCP proxy for one hop, which can be cut, blocked in one or both directions, or slow, and turned to another address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// As it should be.
    Good,
    /// Every connection is reset, and new ones are refused.
    Cut,
    /// Connections stay and new ones are taken, but nothing comes through.
    HalfOpen,
    /// What is asked comes through, what is answered does not.
    OneWay,
    /// Everything comes through, late.
    Slow,
}

/// One hop.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where to connect instead.
    pub address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    link: watch::Sender<Link>,
    open: watch::Sender<usize>,
}

impl Proxy {
    /// A proxy before this address.
    pub fn before(target: SocketAddr) -> anyhow::Result<Proxy> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let proxy = Proxy {
            address: listener.local_addr()?,
            target: Arc::new(Mutex::new(target)),
            link: watch::Sender::new(Link::Good),
            open: watch::Sender::new(0),
        };
        let listener = TcpListener::from_std(listener)?;
        tokio::spawn(proxy.clone().serve(listener));
        Ok(proxy)
    }

    /// Changes the link; returns how many connections that hits.
    pub fn set(&self, link: Link) -> usize {
        self.link.send_replace(link);
        *self.open.borrow()
    }

    /// New connections go there.
    pub fn turn_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            if *self.link.borrow() == Link::Cut {
                continue;
            }
            let proxy = self.clone();
            tokio::spawn(async move {
                proxy.open.send_modify(|open| *open += 1);
                // However a connection ends, both ends learn of it by its being closed.
                let _ = proxy.carry(client).await;
                proxy.open.send_modify(|open| *open -= 1);
            });
        }
    }

    async fn carry(&self, client: TcpStream) -> std::io::Result<()> {
        let target = *self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let mut link = self.link.subscribe();
        tokio::select! {
            asked = pump(from_client, to_server, self.link.subscribe(), &[Link::HalfOpen]) => asked,
            answered = pump(from_server, to_client, self.link.subscribe(), &[Link::HalfOpen, Link::OneWay]) => answered,
            _ = link.wait_for(|link| *link == Link::Cut) => Ok(()),
        }
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
    blocked: &[Link],
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if *link.borrow() == Link::Slow {
            local::pause(Duration::from_millis(50)).await;
        }
        // What was on its way stays there until the link is good again.
        if link.wait_for(|link| !blocked.contains(link)).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
