#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const KEY: &str = "qZ0tqGf2Yk0hE4m1x0dCbA";

fn id(text: &str) -> PeerId {
    PeerId::try_from(text.to_owned()).unwrap()
}

/// The examples of this module's own documentation.
fn examples() -> Vec<String> {
    let docs: String = include_str!("../message.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let blocks = docs.split("```json").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_documented_example_is_a_message_and_written_so() {
    let examples = examples();
    assert_eq!(examples.len(), 9);
    let mut seen = Vec::new();
    for text in examples {
        let example: Value = serde_json::from_str(&text).unwrap();
        let kind = example["type"].as_str().unwrap().to_owned();
        let from_client = ["join", "leave"].contains(&&*kind) || example.get("to").is_some();
        let again = if from_client {
            ClientMessage::parse(&text).unwrap().to_json()
        } else {
            let message = ServerMessage::parse(&text).unwrap();
            assert_ne!(message, ServerMessage::Unknown);
            message.to_json()
        };
        assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), example);
        seen.push(kind);
    }
    for kind in [
        "join",
        "welcome",
        "peer-joined",
        "peer-left",
        "signal",
        "leave",
        "error",
    ] {
        assert!(seen.iter().any(|k| k == kind), "{kind} is documented");
    }
}

#[test]
fn what_browsers_write_is_understood() {
    let end = r#"{"type":"signal","to":"b","candidate":{"candidate":"","sdpMid":null,"sdpMLineIndex":null,
        "usernameFragment":null,"future":[1,{"a":2}]},"more":[[]]}"#;
    assert_eq!(
        ClientMessage::parse(end).unwrap(),
        ClientMessage::Signal {
            to: id("b"),
            body: Body::Candidate(Some(Candidate::default()))
        }
    );
    let null = r#"{"candidate":null,"to":"b","type":"signal"}"#;
    assert_eq!(
        ClientMessage::parse(null).unwrap(),
        ClientMessage::Signal {
            to: id("b"),
            body: Body::Candidate(None)
        }
    );
    let rollback = r#"{"type":"signal","to":"b","description":{"type":"rollback"}}"#;
    assert!(ClientMessage::parse(rollback).is_ok());
}

fn code(text: &str) -> ErrorCode {
    ClientMessage::parse(text).unwrap_err().code
}

#[test]
fn what_is_no_message_is_refused_by_its_kind() {
    for text in [
        "",
        "{",
        "null",
        "[]",
        "1",
        "\"join\"",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"join"}"#,
        r#"{"type":"signal"}"#,
        r#"{"type":"signal","to":"b"}"#,
        r#"{"type":"signal","to":"../b","candidate":null}"#,
        r#"{"type":"signal","to":"b","candidate":7}"#,
        r#"{"type":"join","version":"1"}"#,
        r#"{"type":"join","version":-1}"#,
        r#"{"type":"leave","type":"leave"}"#,
    ] {
        assert_eq!(code(text), ErrorCode::Malformed, "{text}");
    }
    assert_eq!(
        code(&"[".repeat(60_000)),
        ErrorCode::Malformed,
        "nested without end"
    );
    assert_eq!(code(&" ".repeat(MAX_MESSAGE + 1)), ErrorCode::TooLarge);
}

#[test]
fn another_version_is_told_which_whatever_else_it_says() {
    let refusal = ClientMessage::parse(r#"{"type":"join","version":7,"token":{}}"#).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Version);
    assert!(
        refusal.why.contains("version 1") && refusal.why.contains('7'),
        "{}",
        refusal.why
    );
}

fn join(room: &str, key: &str) -> String {
    let (room, key) = (room.to_owned(), key.to_owned());
    ClientMessage::Join {
        version: VERSION,
        room,
        name: String::new(),
        key,
    }
    .to_json()
}

#[test]
fn rooms_and_keys_have_their_limits() {
    for room in ["a", "Stand-up_2.0", &"x".repeat(64), "wss", "..."] {
        assert!(ClientMessage::parse(&join(room, KEY)).is_ok(), "{room}");
    }
    for room in [
        "",
        "ws",
        "healthz",
        " ",
        "a b",
        "a/b",
        "ä",
        ".",
        "..",
        "a\0",
        "\u{202e}",
        &"x".repeat(65),
    ] {
        assert_eq!(code(&join(room, KEY)), ErrorCode::BadRoom, "{room}");
    }
    for key in ["", "short", "with spaces in it and long", &"k".repeat(129)] {
        assert_eq!(code(&join("a", key)), ErrorCode::Malformed, "{key}");
    }
}

fn offer(sdp: String) -> String {
    let body = Body::Description(Description {
        kind: "offer".to_owned(),
        sdp,
        answers: None,
    });
    ClientMessage::Signal { to: id("b"), body }.to_json()
}

fn candidate(candidate: String) -> String {
    let body = Body::Candidate(Some(Candidate {
        candidate,
        ..Candidate::default()
    }));
    ClientMessage::Signal { to: id("b"), body }.to_json()
}

#[test]
fn bodies_have_their_limits() {
    assert!(ClientMessage::parse(&offer("x".repeat(MAX_SDP))).is_ok());
    assert_eq!(code(&offer("x".repeat(MAX_SDP + 1))), ErrorCode::Malformed);
    assert!(ClientMessage::parse(&candidate("x".repeat(MAX_CANDIDATE))).is_ok());
    assert_eq!(
        code(&candidate("x".repeat(MAX_CANDIDATE + 1))),
        ErrorCode::Malformed
    );
}

#[test]
fn what_a_server_says_is_safe_to_show() {
    let text = r#"{"type":"peer-joined","id":"a","name":"\u001b]0;x\u0007Eve\u202e"}"#;
    let ServerMessage::PeerJoined(member) = ServerMessage::parse(text).unwrap() else {
        panic!()
    };
    assert_eq!(member.name.as_str(), "]0;xEve");
    let text = r#"{"type":"error","code":"taxes","message":"\u001b[2J"}"#;
    let ServerMessage::Error { code, message } = ServerMessage::parse(text).unwrap() else {
        panic!()
    };
    assert_eq!((code, message.as_str()), (ErrorCode::Unknown, "[2J"));
    assert_eq!(
        ServerMessage::parse(r#"{"type":"party","at":8}"#).unwrap(),
        ServerMessage::Unknown
    );
    assert_eq!(ErrorCode::RoomFull.to_string(), "room-full");
}

proptest! {
    #[test]
    fn no_text_is_too_strange_to_parse(text in any::<String>()) {
        let _ = ClientMessage::parse(&text);
        let _ = ServerMessage::parse(&text);
    }

    #[test]
    fn a_damaged_message_is_a_message_or_refused(
        which in 0usize..9, at in any::<prop::sample::Index>(), with in any::<char>(), cut in any::<bool>(),
    ) {
        let text = examples().swap_remove(which);
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        if cut {
            chars.truncate(at);
        }
        let text: String = chars.into_iter().collect();
        if let Ok(message) = ClientMessage::parse(&text) {
            prop_assert_eq!(ClientMessage::parse(&message.to_json()).unwrap(), message);
        }
        let _ = ServerMessage::parse(&text);
    }

    #[test]
    fn messages_survive_the_wire(
        name in any::<String>(), sdp in any::<String>(), line in "[ -~]{0,200}", mid in any::<Option<u16>>(),
    ) {
        let key = KEY.to_owned();
        let join = ClientMessage::Join { version: VERSION, room: "a".to_owned(), name: name.clone(), key };
        prop_assert_eq!(ClientMessage::parse(&join.to_json()).unwrap(), join);
        let candidate = Candidate {
            candidate: line, sdp_mid: mid.map(|m| m.to_string()), sdp_m_line_index: mid, username_fragment: None,
        };
        for body in [
            Body::Description(Description { kind: "answer".to_owned(), sdp, answers: None }),
            Body::Candidate(Some(candidate)),
            Body::Candidate(None),
        ] {
            let there = ClientMessage::Signal { to: id("b"), body: body.clone() };
            prop_assert_eq!(ClientMessage::parse(&there.to_json()).unwrap(), there);
            let here = ServerMessage::Signal { from: id("a"), body };
            prop_assert_eq!(ServerMessage::parse(&here.to_json()).unwrap(), here);
        }
        let member = Member { id: id("a"), name: SafeText::name(&name) };
        let welcome = ServerMessage::Welcome { id: id("b"), peers: vec![member], ice_servers: Vec::new() };
        prop_assert_eq!(ServerMessage::parse(&welcome.to_json()).unwrap(), welcome);
    }
}
