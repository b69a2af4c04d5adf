//! Where people meet: a server that was named, one found on the local network, or one opened here.
//!
//! A room without a named server outlives whoever hosts it. Those who lose the server look for the
//! room again, and take turns at opening it anew: first who has the smallest identity, then (had
//! that one gone as well) the next. Two servers of one room that find each other become one: the
//! younger gives up ([`lan`]), and those who were there look for the room again, and find the other.

use std::future::pending;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use url::{Host, Url};

use super::lan;
use super::serve::{ServeConfig, ServeError, Server, urls};
use crate::signal::code::Code;
use crate::ui::state::Invite;

/// The port of a meeting point, where it is free.
pub const PORT: u16 = 7880;

/// Somebody's turn to open a room anew lasts so long: opening it takes milliseconds, and finding it
/// as long as [`lan::find`] looks.
const TURN: Duration = Duration::from_secs(1);

/// The meeting point of a call.
pub struct Meeting {
    /// Where to join.
    pub server: Url,
    /// What the others type.
    pub invite: Invite,
    /// The server runs in this process.
    pub hosted: bool,
    room: String,
    /// It was found, or can be found, without its address.
    on_lan: bool,
    found: Option<(lan::Advert, lan::Watch)>,
    task: Option<JoinHandle<()>>,
    /// Looks for where the room is now; one task at most.
    search: JoinSet<Self>,
}

impl Meeting {
    /// At a server that was named.
    pub fn named(server: Url, room: &str) -> Self {
        let invite = invite(&server, room);
        Self {
            server,
            invite,
            hosted: false,
            room: room.to_owned(),
            on_lan: false,
            found: None,
            task: None,
            search: JoinSet::new(),
        }
    }

    /// At a server that was found on this machine or the local network.
    fn found(server: Url, room: &str) -> Self {
        let mut meeting = Self::named(server, room);
        meeting.invite = invite(&reachable(&meeting.server), room);
        meeting.on_lan = true;
        meeting
    }

    /// Looks for the room on this machine and the local network, half a second at most; where it is
    /// not, opens it here.
    ///
    /// # Errors
    /// Where no server can be opened.
    pub async fn found_or_opened(room: &str) -> Result<Self, ServeError> {
        if let Some(server) = lan::find(room).await {
            return Ok(Self::found(server, room));
        }
        Self::opened(room, Ipv4Addr::UNSPECIFIED.into(), true)
    }

    /// Opens the room here, for everyone who reaches `address`.
    ///
    /// # Errors
    /// Where no port can be bound.
    pub fn opened(room: &str, address: std::net::IpAddr, advertise: bool) -> Result<Self, ServeError> {
        let at = |port| ServeConfig::new((address, port).into());
        let server = match Server::bind(at(if advertise { PORT } else { 0 })) {
            Err(_) if advertise => Server::bind(at(0))?,
            usual => usual?,
        };
        let bound = server.local_addr();
        let found = advertise.then(|| lan::advertise(room, bound));
        let task = tokio::spawn(server.run(std::future::pending()));
        let local = format!("ws://127.0.0.1:{}/", bound.port());
        let public = urls("http", bound)
            .into_iter()
            .next()
            .unwrap_or_else(|| local.clone());
        let parse = |text: &str| Url::parse(text).expect("an address and a port make an URL");
        let invite = invite(&parse(&public), room);
        let server = parse(&local);
        Ok(Self {
            server,
            invite,
            hosted: true,
            room: room.to_owned(),
            on_lan: advertise,
            found,
            task: Some(task),
            search: JoinSet::new(),
        })
    }

    /// The connection to the server was lost. Where the server was not named by anybody, looks for
    /// the room elsewhere, and opens it here once `rank` others had their turn. Says whether it does.
    /// `is_final`: nobody tries this server any more.
    pub fn handle_lost(&mut self, rank: usize, is_final: bool) -> bool {
        if self.hosted || !self.on_lan {
            return false;
        }
        if is_final || self.search.is_empty() {
            let old = (!is_final).then(|| self.server.clone());
            self.search.abort_all();
            self.search = JoinSet::new();
            self.search.spawn(search(self.room.clone(), rank, old));
        }
        true
    }

    /// The connection stands again.
    pub fn handle_back(&mut self) {
        self.search.abort_all();
        self.search = JoinSet::new();
    }

    /// Waits until the room is to be met elsewhere: it has another server after this one was lost, or
    /// somebody else opened the same room before us.
    pub async fn moved(&mut self) -> Self {
        let watch = async {
            match &mut self.found {
                Some((_, watch)) => watch.moved().await,
                None => pending().await,
            }
        };
        tokio::select! {
            server = watch => Self::found(server, &self.room),
            Some(Ok(meeting)) = self.search.join_next() => meeting,
        }
    }
}

/// Looks for the room until it is found at another server than `old` or, after `rank` turns, opened
/// here.
async fn search(room: String, rank: usize, old: Option<Url>) -> Meeting {
    let mut turns = 0;
    loop {
        match lan::find(&room).await {
            Some(server) if Some(&server) != old.as_ref() => return Meeting::found(server, &room),
            // It is there, so it will be reached again by itself.
            Some(_) => {}
            None if turns >= rank => match Meeting::opened(&room, Ipv4Addr::UNSPECIFIED.into(), true) {
                Ok(meeting) => return meeting,
                Err(error) => tracing::warn!(%error, "the room cannot be opened here"),
            },
            None => turns += 1,
        }
        sleep(TURN).await;
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// A server of this machine by an address that others reach as well.
fn reachable(server: &Url) -> Url {
    let is_local = matches!(server.host(), Some(Host::Ipv4(ip)) if ip.is_loopback())
        || matches!(server.host(), Some(Host::Ipv6(ip)) if ip.is_loopback());
    let port = server.port_or_known_default().filter(|_| is_local);
    let public = port.and_then(|port| {
        urls("http", (Ipv4Addr::UNSPECIFIED, port).into())
            .into_iter()
            .next()
    });
    public
        .and_then(|url| Url::parse(&url).ok())
        .unwrap_or_else(|| server.clone())
}

/// What others type to come to `room` at `server`.
fn invite(server: &Url, room: &str) -> Invite {
    let shown = server.as_str().trim_end_matches('/');
    let (is_secure, rest) = match shown.split_once(':') {
        Some(("wss" | "https", rest)) => (true, rest),
        Some((_, rest)) => (false, rest),
        None => (false, shown),
    };
    let (socket, page) = if is_secure {
        ("wss", "https")
    } else {
        ("ws", "http")
    };
    let named = match Code::of_room(room) {
        Some(code) => code.to_string(),
        None => format!("--room {room}"),
    };
    let server = format!("{socket}:{rest}");
    Invite {
        command: format!("facetty {named} --server {server}"),
        link: format!("{page}:{rest}/{room}"),
        server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_invitation_names_server_and_room() {
        let invite = invite(&Url::parse("wss://example.org/").expect("valid"), "standup");
        assert_eq!(
            invite.command,
            "facetty --room standup --server wss://example.org"
        );
        assert_eq!(invite.link, "https://example.org/standup");
        let code = super::invite(
            &Url::parse("http://example.org/").expect("valid"),
            "7-crossover-clockwork",
        );
        assert_eq!(
            code.command,
            "facetty 7-crossover-clockwork --server ws://example.org"
        );
        let elsewhere = Url::parse("http://192.0.2.7:7880/").expect("valid");
        assert_eq!(reachable(&elsewhere), elsewhere);
    }
}
