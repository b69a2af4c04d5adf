//! What a server was asked for.

use super::{ServeArgs, Tls};
use crate::call::paths::{Server as IceUrl, Service};
use crate::config::state_folder;
use crate::io::serve::ServeConfig;
use crate::io::serve::relay::{RELAY_PORTS, RelayOptions};
use crate::io::serve::tls::TlsOptions;
use crate::signal::message::IceServer;
use crate::signal::relay::{RelayConfig, RelayLimits, Secret};

impl ServeArgs {
    /// How the server is set up.
    ///
    /// # Errors
    /// A sentence that names the option and the remedy.
    pub fn resolve(self) -> Result<ServeConfig, String> {
        let mut config = ServeConfig {
            max_rooms: self.max_rooms as usize,
            max_peers: self.max_peers as usize,
            allow_origin: self.allow_origin,
            ..ServeConfig::new(self.listen)
        };
        config.tls = match (self.tls_cert, self.tls_key, self.tls) {
            (Some(cert), Some(key), _) => Some(TlsOptions::Files { cert, key }),
            (.., Some(Tls::SelfSigned)) => {
                let state = state_folder(|name| std::env::var(name).ok());
                let folder = state.ok_or(
                    "--tls self-signed: there is no folder to keep a certificate in; set HOME or XDG_STATE_HOME",
                )?;
                Some(TlsOptions::SelfSigned { folder })
            }
            _ => None,
        };
        let mut timed = Vec::new();
        for text in self.ice_server {
            let is_open = !text.to_ascii_lowercase().starts_with("stun:") && !text.contains('@');
            if is_open && self.turn_secret.is_some() {
                // Read as it will be by those who are told of it.
                let url = open_turn(&text).map_err(|e| format!("--ice-server {text}: {e}"))?;
                timed.push(url);
                continue;
            }
            let server: IceUrl = text.parse().map_err(|e| format!("--ice-server {text}: {e}"))?;
            let url = server.url();
            let (username, credential) = match server.service {
                Service::Stun => (None, None),
                Service::Turn {
                    username, password, ..
                } => (Some(username), Some(password)),
            };
            config.ice_servers.push(IceServer {
                urls: vec![url],
                username,
                credential,
            });
        }
        if let Some(secret) = &self.turn_secret {
            if timed.is_empty() {
                return Err(
                    "--turn-secret is for a TURN server that --ice-server names without a user".into(),
                );
            }
            config.timed = Some((timed, Secret::new(secret.as_bytes())));
        }
        if !self.no_turn {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| format!("there are no random numbers: {error}"))?;
            config.relay = Some(RelayOptions {
                listen: self.turn_listen,
                public_ip: self.public_ip,
                ports: self.turn_ports.unwrap_or(RELAY_PORTS),
                config: RelayConfig {
                    secret: Secret::new(&secret),
                    allow_private: self.turn_allow_private,
                    limits: RelayLimits::default(),
                },
            });
        }
        Ok(config)
    }
}

/// A TURN server without credentials.
fn open_turn(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once(':').ok_or("no scheme")?;
    let with_user: IceUrl = format!("{scheme}:u:p@{rest}")
        .parse()
        .map_err(|e| format!("{e}"))?;
    Ok(with_user.url())
}
