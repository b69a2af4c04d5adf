//! Who comes to the server's port: by HTTP, by HTTP over TLS, or over TLS to be relayed, so that a network that
//! lets nothing out but the web's own port is wide enough for a call.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, copy, split,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::CLOSE_WITHIN;
use super::http;
use super::relay::Door;
use super::tls::Tls;
use crate::signal::limits::WRITE_WITHIN;

/// A handshake must be over, and then a request's head have come, within this time; and the next one on a
/// kept connection.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// What is read of a connection before it is known who takes it: less than any of them reads at once, so that
/// the rest passes by.
const FIRST: usize = 512;

/// Serves whoever comes; over TLS the relay is behind `door`.
pub(super) async fn accept(listener: TcpListener, app: Router, mut tls: Option<Tls>, door: Option<Door>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let app = app.clone().layer(Extension(http::From(from.ip())));
                    match &mut tls {
                        Some(tls) => {
                            connections.spawn(serve_tls((stream, from), tls.acceptor(), app, door.clone()))
                        }
                        None => connections.spawn(serve_http(stream, app)),
                    };
                }
                Err(e) if is_of_one_connection(&e) => {}
                Err(e) => {
                    // Out of descriptors or memory: others must go before somebody can come.
                    tracing::warn!("cannot accept a connection: {e}");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        e.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// TLS, and what is spoken through it; or what is to be said to who speaks none.
async fn serve_tls(
    (stream, from): (TcpStream, SocketAddr),
    acceptor: TlsAcceptor,
    app: Router,
    door: Option<Door>,
) {
    let mut first = [0];
    // A handshake begins with 22 (RFC 8446, 5.1), and no method of HTTP does.
    let shaken = timeout(HEAD_WITHIN, async {
        match stream.peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if first == [22] => acceptor.accept(stream).await.map(Ok),
            _ => Ok(Err(stream)),
        }
    });
    match shaken.await {
        Ok(Ok(Ok(stream))) => {
            let _ = stream.get_ref().0.set_nodelay(true);
            let mut stream = BufReader::with_capacity(FIRST, stream);
            match (timeout(HEAD_WITHIN, stream.fill_buf()).await, door) {
                // A request to a STUN or TURN server begins with two bits that are zero (RFC 8489, 5), and
                // no letter does.
                (Ok(Ok([first, ..])), Some(door)) if first >> 6 == 0 => {
                    serve_relayed(stream, from, &door).await
                }
                (Ok(Ok(_)), _) => serve_connection(stream, app).await,
                _ => tracing::debug!("nothing came through a TLS connection"),
            }
        }
        Ok(Ok(Err(stream))) => {
            let plain = Router::new().fallback(http::to_https);
            serve_http(stream, plain).await;
        }
        Ok(Err(e)) => tracing::debug!("no TLS came of a connection: {e}"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Carries what a client and the relay say to each other, until one of them goes.
async fn serve_relayed<S: AsyncRead + AsyncWrite + Unpin>(mut client: S, from: SocketAddr, door: &Door) {
    let mut relay = match door.enter(from) {
        Ok(relay) => relay,
        Err(error) => {
            tracing::debug!(%error, "no way from a TLS connection to the relay");
            return;
        }
    };
    let (mut from_client, mut to_client) = split(&mut client);
    let (mut from_relay, mut to_relay) = relay.split();
    tokio::select! {
        _ = copy(&mut from_client, &mut to_relay) => {}
        _ = carry(&mut from_relay, &mut to_client) => {}
    }
    let _ = timeout(CLOSE_WITHIN, client.shutdown()).await;
}

/// Carries bytes to a client as long as it takes them: who stops reading holds nothing here for ever.
async fn carry(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let written = async {
            to.write_all(&buffer[..length]).await?;
            to.flush().await
        };
        timeout(WRITE_WITHIN, written).await??;
    }
}

async fn serve_http(stream: TcpStream, app: Router) {
    // Offers and candidates are small, and each is waited for.
    let _ = stream.set_nodelay(true);
    serve_connection(stream, app).await;
}

async fn serve_connection<S>(stream: S, app: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades()
        .await;
    if let Err(e) = served {
        tracing::debug!("a connection ended: {e}");
    }
}
