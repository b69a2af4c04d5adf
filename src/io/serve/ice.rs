//! The STUN and TURN servers that each who joins is told of, with credentials of their own.

use std::net::IpAddr;

use super::relay::{RelayOptions, RelayServer};
use crate::io::clock;
use crate::signal::message::IceServer;
use crate::signal::relay::Secret;

/// Credentials hold so long, in seconds: longer than anybody waits in a room between joining it and
/// needing a relay anew.
const HOLD: u64 = 12 * 3600;

/// The port that `https:` leaves out.
const HTTPS: u16 = 443;

/// What is told.
pub(super) struct Ice {
    timed: Option<(Vec<String>, Secret)>,
    own: Option<Own>,
}

struct Own {
    secret: Secret,
    /// Where it is, if the name by which the client came is not good enough.
    ip: Option<IpAddr>,
    port: u16,
    second: Option<u16>,
    /// It is reached over TLS as well, at the port of the page.
    tls: bool,
}

impl Ice {
    pub(super) fn new(
        timed: Option<(Vec<String>, Secret)>,
        options: Option<&RelayOptions>,
        relay: Option<&RelayServer>,
        tls: bool,
    ) -> Self {
        let own = options.zip(relay).map(|(options, relay)| Own {
            secret: options.config.secret.clone(),
            ip: options
                .public_ip
                .or_else(|| Some(relay.local_addr().ip()).filter(|ip| !ip.is_unspecified())),
            port: relay.local_addr().port(),
            second: relay.second_port(),
            tls,
        });
        Self { timed, own }
    }

    /// For somebody who came to this host (and port), as HTTP names it; `through`: by a proxy, which knows
    /// nothing but HTTP.
    pub(super) fn servers(&self, host: Option<&str>, through: bool) -> Vec<IceServer> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the operating system has random numbers");
        let id = data_encoding::HEXLOWER.encode(&id);
        let credentials = |secret: &Secret| {
            let (username, credential) = secret.credentials(&id, clock::unix() + HOLD);
            (Some(username), Some(credential))
        };
        let mut servers = Vec::new();
        if let Some(own) = &self.own
            && let Some(place) = own.ip.map(shown).or_else(|| host.and_then(name_of))
        {
            let (username, credential) = credentials(&own.secret);
            let port = own.port;
            let ports = std::iter::once(port).chain(own.second);
            servers.push(IceServer {
                urls: ports.map(|port| format!("stun:{place}:{port}")).collect(),
                username: None,
                credential: None,
            });
            let mut urls = ["udp", "tcp"]
                .map(|transport| format!("turn:{place}:{port}?transport={transport}"))
                .to_vec();
            // Under the name that the certificate was good for a moment ago.
            let secure = host.filter(|_| own.tls && !through).and_then(secure_place);
            urls.extend(secure.map(|place| format!("turns:{place}?transport=tcp")));
            servers.push(IceServer {
                urls,
                username,
                credential,
            });
        }
        if let Some((urls, secret)) = &self.timed {
            let (username, credential) = credentials(secret);
            servers.push(IceServer {
                urls: urls.clone(),
                username,
                credential,
            });
        }
        servers
    }
}

fn shown(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A `Host` header's name and port, over TLS.
fn secure_place(host: &str) -> Option<String> {
    let name = name_of(host)?;
    let port = host.rsplit(':').next().and_then(|port| port.parse().ok());
    let has_port = host.len() > name.len();
    let port: u16 = if has_port { port? } else { HTTPS };
    Some(format!("{name}:{port}"))
}

/// The host of a `Host` header, without its port.
fn name_of(host: &str) -> Option<String> {
    let name = match host.strip_prefix('[') {
        Some(rest) => return rest.split_once(']').map(|(ip, _)| format!("[{ip}]")),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_by_which_somebody_came_is_where_the_relay_is() {
        let ice = Ice {
            timed: Some((vec!["turn:other.example.org".into()], Secret::new(b"s"))),
            own: Some(Own {
                secret: Secret::new(b"t"),
                ip: None,
                port: 3478,
                second: Some(3479),
                tls: true,
            }),
        };
        let servers = ice.servers(Some("meet.example.org:7880"), false);
        let urls: Vec<_> = servers.iter().flat_map(|server| server.urls.clone()).collect();
        assert_eq!(
            urls,
            [
                "stun:meet.example.org:3478",
                "stun:meet.example.org:3479",
                "turn:meet.example.org:3478?transport=udp",
                "turn:meet.example.org:3478?transport=tcp",
                "turns:meet.example.org:7880?transport=tcp",
                "turn:other.example.org",
            ]
        );
        assert!(servers[0].username.is_none());
        for (server, secret) in [(&servers[1], "t"), (&servers[2], "s")] {
            let name = server.username.as_deref().expect("a name");
            let password = Secret::new(secret.as_bytes()).password(name);
            assert_eq!(server.credential.as_deref(), Some(password.as_str()));
        }
        assert_ne!(
            servers[1].username,
            ice.servers(Some("meet.example.org"), false)[1].username,
            "everybody has their own"
        );
        let through = ice.servers(Some("meet.example.org"), true);
        assert!(!through[1].urls.iter().any(|url| url.starts_with("turns:")));
        for (host, place) in [
            ("meet.example.org", Some("meet.example.org:443")),
            ("[::1]", Some("[::1]:443")),
            ("[::1]:7880", Some("[::1]:7880")),
            ("a:b", None),
            ("a:", None),
        ] {
            assert_eq!(secure_place(host).as_deref(), place, "{host}");
        }
        assert_eq!(name_of("[::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(name_of(":80"), None);
    }
}
