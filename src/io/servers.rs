//! The call's way to STUN and TURN servers: names looked up, connections by TCP and TLS. (Datagrams go
//! through the call's own sockets, [`super::udp`].)

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls;
use crate::call::paths::{PathOutput, ServerId};

/// A name is looked up, and a connection stands with its TLS, within this time.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Messages that wait to be written; more are lost, as on any line.
const OUTGOING: usize = 256;

/// What wait to be read; more waits in TCP.
const INCOMING: usize = 64;

/// What is read at a time.
const READ: usize = 16 * 1024;

/// Something happened on the way to a server.
#[derive(Debug)]
pub enum ServerEvent {
    /// Its addresses, each with the own one that the system would send from.
    Resolved(ServerId, Result<Vec<(SocketAddr, IpAddr)>, String>),
    /// The connection stands, between these addresses.
    Connected(ServerId, (SocketAddr, SocketAddr)),
    /// Bytes came.
    Bytes(ServerId, Vec<u8>),
    /// It ended, or did not come about.
    Closed(ServerId, String),
}

/// The connections.
pub struct Servers {
    events: mpsc::Receiver<ServerEvent>,
    sender: mpsc::Sender<ServerEvent>,
    streams: Vec<Stream>,
}

struct Stream {
    id: ServerId,
    outgoing: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

impl Default for Servers {
    fn default() -> Self {
        let (sender, events) = mpsc::channel(INCOMING);
        Self {
            events,
            sender,
            streams: Vec::new(),
        }
    }
}

impl Servers {
    /// The next event. Cancel-safe.
    pub async fn event(&mut self) -> ServerEvent {
        // This end holds a sender too, so that the queue never ends.
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Looks up, connects, writes, disconnects. Datagrams and candidates are not its business.
    pub fn carry_out(&mut self, output: PathOutput) {
        match output {
            PathOutput::Resolve { id, host, port } => {
                let events = self.sender.clone();
                tokio::spawn(async move {
                    let found = resolve(&host, port).await;
                    let _ = events.send(ServerEvent::Resolved(id, found)).await;
                });
            }
            PathOutput::Connect { id, addresses, tls } => {
                let (outgoing, queue) = mpsc::channel(OUTGOING);
                let events = self.sender.clone();
                let task = tokio::spawn(async move {
                    let why = converse(id, &addresses, tls, queue, &events).await;
                    let _ = events.send(ServerEvent::Closed(id, why)).await;
                });
                self.drop_stream(id);
                self.streams.push(Stream {
                    id,
                    outgoing,
                    task: task.abort_handle(),
                });
            }
            PathOutput::Stream { id, bytes } => {
                if let Some(stream) = self.streams.iter().find(|stream| stream.id == id) {
                    let _ = stream.outgoing.try_send(bytes);
                }
            }
            PathOutput::Disconnect(id) => self.drop_stream(id),
            PathOutput::Datagram { .. }
            | PathOutput::Found(_)
            | PathOutput::Lost(_)
            | PathOutput::Complete => {}
        }
    }

    fn drop_stream(&mut self, id: ServerId) {
        // What is in its queue is still written: the good-bye.
        self.streams.retain(|stream| stream.id != id);
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for stream in &self.streams {
            stream.task.abort();
        }
    }
}

/// The addresses of a server, and the own one on the way to each; those to which there is no way are
/// left out.
///
/// # Errors
/// Where the name is not known.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<(SocketAddr, IpAddr)>, String> {
    let found = match timeout(LOOK_UP_WITHIN, lookup_host((host, port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(format!("its name is not known ({error})")),
        Err(_) => return Err("its name could not be looked up in time".into()),
    };
    Ok(found
        .filter_map(|address| Some((address, route(address).ok()?)))
        .collect())
}

/// The own address from which the system would send to another; nothing is sent.
pub fn route(to: SocketAddr) -> io::Result<IpAddr> {
    let unspecified: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let socket = UdpSocket::bind(unspecified)?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

/// Connects and carries bytes both ways, until it ends; says why it did.
async fn converse(
    id: ServerId,
    addresses: &[SocketAddr],
    tls: Option<String>,
    queue: mpsc::Receiver<Vec<u8>>,
    events: &mpsc::Sender<ServerEvent>,
) -> String {
    let connected = async {
        let stream = connect(addresses).await?;
        let leg = (stream.local_addr(), stream.peer_addr());
        let (Ok(local), Ok(server)) = leg else {
            return Err("the connection was lost".to_owned());
        };
        let stream = match tls {
            Some(name) => Either::Tls(Box::new(secure(stream, name).await?)),
            None => Either::Tcp(stream),
        };
        Ok((stream, (local, server)))
    };
    let (stream, leg) = match timeout(CONNECT_WITHIN, connected).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(why)) => return why,
        Err(_) => return "no answer".into(),
    };
    if events.send(ServerEvent::Connected(id, leg)).await.is_err() {
        return String::new();
    }
    match stream {
        Either::Tcp(stream) => carry(id, stream, queue, events).await,
        Either::Tls(stream) => carry(id, *stream, queue, events).await,
    }
}

enum Either {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// To the first address that answers.
///
/// # Errors
/// Why the last one did not.
pub async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = "it has no address".to_owned();
    for address in addresses {
        // So that a dead one leaves time for the next.
        let patience = CONNECT_WITHIN / u32::try_from(addresses.len()).unwrap_or(1).min(4);
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Voice does not wait for company.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = "no answer".into(),
        }
    }
    Err(why)
}

/// Speaks TLS on a connection, to the server of this name.
///
/// # Errors
/// What of its certificate, or else, is wrong.
pub async fn secure(
    stream: TcpStream,
    name: String,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(name).map_err(|_| "its name fits no certificate".to_owned())?;
    let connector = TlsConnector::from(tls::config()?);
    let connected = connector.connect(name, stream).await;
    connected.map_err(|error| format!("TLS fails: {error}"))
}

async fn carry(
    id: ServerId,
    stream: impl AsyncRead + AsyncWrite,
    mut queue: mpsc::Receiver<Vec<u8>>,
    events: &mpsc::Sender<ServerEvent>,
) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let read = async {
        let mut buffer = vec![0; READ];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return "the server closed the connection".to_owned(),
                Err(error) => return format!("the connection broke: {error}"),
                Ok(length) => {
                    let bytes = buffer[..length].to_vec();
                    if events.send(ServerEvent::Bytes(id, bytes)).await.is_err() {
                        return String::new();
                    }
                }
            }
        }
    };
    let write = async {
        while let Some(bytes) = queue.recv().await {
            if let Err(error) = writer.write_all(&bytes).await {
                return format!("the connection broke: {error}");
            }
            // TLS holds back what is not flushed.
            if queue.is_empty()
                && let Err(error) = writer.flush().await
            {
                return format!("the connection broke: {error}");
            }
        }
        let _ = writer.shutdown().await;
        String::new()
    };
    tokio::select! {
        why = read => why,
        why = write => why,
    }
}
