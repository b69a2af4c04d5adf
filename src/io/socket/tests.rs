use super::*;

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
fn families_take_turns() {
    let list = |text: &str| {
        text.split(' ')
            .map(|a| a.parse().expect("an address"))
            .collect::<Vec<SocketAddr>>()
    };
    let found = list("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1");
    assert_eq!(alternate(found), list("[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1"));
    assert!(alternate(Vec::new()).is_empty());
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
