use super::client::Backoff;
use super::*;
use crate::signal::message::VERSION;

#[test]
fn pauses_double_to_eight_seconds_and_are_spread_by_half() {
    for _ in 0..100 {
        let mut backoff = Backoff::default();
        for expected in [250, 500, 1000, 2000, 4000, 8000, 8000, 8000] {
            let pause = backoff.next().as_millis();
            assert!(
                (expected / 2..=expected + expected / 2).contains(&pause),
                "{pause} for {expected}"
            );
        }
    }
    let mut backoff = Backoff {
        attempts: u32::MAX - 1,
    };
    backoff.next();
}

#[test]
fn keys_are_accepted_and_never_alike() {
    let key = new_key();
    assert_ne!(key, new_key());
    let join = ClientMessage::Join {
        version: VERSION,
        room: "a".to_owned(),
        name: String::new(),
        key,
    };
    assert!(ClientMessage::parse(&join.to_json()).is_ok());
}
