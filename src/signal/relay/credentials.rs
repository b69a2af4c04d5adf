//! Credentials that say by themselves until when they hold, so that nothing about them is stored: those
//! of coturn's `use-auth-secret`, which every TURN server and browser takes (draft-uberti-behave-turn-rest).

use std::net::SocketAddr;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// What a relay and whoever hands out its credentials know in common.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// A nonce holds so long, in seconds; then the client is given another (RFC 8489, 9.2).
const NONCE_LIFE: u64 = 3600;

impl Secret {
    /// A secret; long and random, or who guesses it relays at will.
    pub fn new(secret: &[u8]) -> Self {
        Self(secret.to_vec())
    }

    /// A user's name and password until `expires`, in seconds since 1970. The name has `id` in it, which
    /// keeps one user's share apart from another's.
    pub fn credentials(&self, id: &str, expires: u64) -> (String, String) {
        let name = format!("{expires}:{id}");
        let password = self.password(&name);
        (name, password)
    }

    /// The password that goes with a name.
    pub fn password(&self, name: &str) -> String {
        BASE64.encode(&self.sign(&[name.as_bytes()]))
    }

    /// A nonce for a client at this address; `second` of any clock that goes on.
    pub(super) fn nonce(&self, client: SocketAddr, second: u64) -> String {
        let signed = self.sign(&[b"nonce", client.to_string().as_bytes(), &second.to_be_bytes()]);
        format!("{second:x}-{}", HEXLOWER.encode(&signed[..10]))
    }

    /// The nonce was given to this client, and not too long ago.
    pub(super) fn is_fresh(&self, nonce: &str, client: SocketAddr, second: u64) -> bool {
        let given = nonce.split_once('-').map(|(given, _)| given);
        let Some(given) = given.and_then(|given| u64::from_str_radix(given, 16).ok()) else {
            return false;
        };
        given <= second && second - given < NONCE_LIFE && nonce == self.nonce(client, given)
    }

    fn sign(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Until when a name holds, in seconds since 1970.
pub(super) fn expiry(name: &str) -> Option<u64> {
    name.split_once(':')
        .map_or(name, |(expires, _)| expires)
        .parse()
        .ok()
}

/// Not what it is.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_coturn() {
        // echo -n 1433895918:ann | openssl dgst -binary -sha1 -hmac logen | base64
        let (name, password) = Secret::new(b"logen").credentials("ann", 1_433_895_918);
        assert_eq!(name, "1433895918:ann");
        assert_eq!(password, "wHI6uzTeh2SV9gRA+iv3cuoogCA=");
        assert_eq!(expiry(&name), Some(1_433_895_918));
        assert_eq!(expiry("ann"), None);
    }

    #[test]
    fn a_nonce_is_one_clients_for_an_hour() {
        let (secret, other) = (Secret::new(b"a"), Secret::new(b"b"));
        let [ann, bob] = ["192.0.2.1:5", "192.0.2.1:6"].map(|at| at.parse().expect("an address"));
        let nonce = secret.nonce(ann, 100);
        assert!(secret.is_fresh(&nonce, ann, 100) && secret.is_fresh(&nonce, ann, 3699));
        assert!(!secret.is_fresh(&nonce, ann, 3700), "too old");
        assert!(!secret.is_fresh(&nonce, ann, 99), "of the future");
        assert!(!secret.is_fresh(&nonce, bob, 100));
        assert!(!other.is_fresh(&nonce, ann, 100));
        for junk in ["", "-", "64", "64-", "zz-00", "64-0000"] {
            assert!(!secret.is_fresh(junk, ann, 100), "{junk}");
        }
    }
}
