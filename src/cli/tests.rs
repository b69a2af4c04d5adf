//! What is taken, what is refused, and what goes before what.

use clap::CommandFactory;

use super::*;
use crate::config::Config;
use crate::io::drive::CallOptions;
use crate::signal::code::Code;
use crate::units::Bitrate;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

fn resolve(args: &[&str], config: &Config) -> Result<CallOptions, String> {
    Cli::try_parse_from([&["facetty"], args].concat())
        .map_err(|e| e.to_string())?
        .call
        .resolve(config)
}

#[test]
fn a_mistyped_command_is_not_taken_for_a_code() {
    let said = resolve(&["servee"], &Config::default()).expect_err("no such command");
    assert_eq!(said, "'servee' is no command; 'serve' is one");
    let said = resolve(&["lobby"], &Config::default()).expect_err("no code");
    assert!(said.contains("--room"), "{said}");
}

#[test]
fn a_link_names_server_and_room() {
    let options = resolve(&["http://example.org:7880/standup"], &Config::default()).expect("a link");
    assert_eq!(options.room, "standup");
    assert_eq!(
        options.server.map(|u| u.to_string()).as_deref(),
        Some("http://example.org:7880/")
    );
    assert!(resolve(&["http://example.org:7880/"], &Config::default()).is_err());
    assert!(resolve(&["no link"], &Config::default()).is_err());
}

#[test]
fn a_code_names_the_room_and_leaves_the_server_open() {
    let none = Config::default();
    let options = resolve(&["7-Crossover-Clockwork"], &none).expect("a code");
    assert_eq!(
        (options.room.as_str(), options.server),
        ("7-crossover-clockwork", None)
    );
    let at = ["7-crossover-clockwork", "--server", "ws://example.org"];
    let options = resolve(&at, &none).expect("a code at a server");
    assert_eq!(
        options.server.map(|u| u.to_string()).as_deref(),
        Some("http://example.org/")
    );
    for (wrong, told) in [
        ("lobby", "a code is a number and two words"),
        ("7-crosover-clockwork", "is \"crossover\" meant?"),
        ("100-crossover-clockwork", "from 1 to 99"),
    ] {
        let error = resolve(&[wrong], &none).expect_err("no code");
        assert!(error.contains(told) && error.contains("--room"), "{error}");
    }
}

#[test]
fn with_nothing_said_a_room_with_a_code_is_opened() {
    let [a, b] = [(); 2].map(|()| resolve(&[], &Config::default()).expect("nothing is wrong").room);
    assert!(
        Code::of_room(&a).is_some() && Code::of_room(&b).is_some(),
        "{a} {b}"
    );
    assert_ne!(a, b);
}

#[test]
fn a_link_is_nearer_than_the_file_and_refuses_another_server() {
    let config = Config {
        server: Some("ws://file.example.org".into()),
        ..Config::default()
    };
    let server = |args: &[&str]| resolve(args, &config).map(|o| o.server.map(|u| u.to_string()));
    assert_eq!(
        server(&["http://example.org/standup"]),
        Ok(Some("http://example.org/".into()))
    );
    assert_eq!(
        server(&["--room", "a"]),
        Ok(Some("http://file.example.org/".into()))
    );
    let both = server(&["http://example.org/standup", "--server", "ws://example.net"]);
    assert!(both.expect_err("which?").contains("leave --server out"));
}

#[test]
fn options_come_before_the_file_and_the_file_before_the_default() {
    let config = Config {
        fps: Some(10),
        name: Some("file".into()),
        ..Config::default()
    };
    let options = resolve(&["--room", "a", "--name", "flag"], &config).expect("valid");
    assert_eq!((options.fps, options.name.as_str()), (10, "flag"));
    assert_eq!(
        resolve(&["--room", "a"], &Config::default()).expect("valid").fps,
        30
    );
}

#[test]
fn the_file_s_bit_rate_is_held_to_the_range_as_well() {
    let of_file = |kbit| {
        let config = Config {
            max_bitrate: Some(kbit),
            ..Config::default()
        };
        resolve(&["--room", "a"], &config).map(|options| options.max_bitrate)
    };
    assert_eq!(of_file(56), Ok(Some(Bitrate::kbps(56))));
    for kbit in [0, 55, u64::MAX] {
        let error = of_file(kbit).expect_err("out of range");
        assert!(error.contains("from 56 to 10000000"), "{error}");
    }
}

#[test]
fn wrong_words_are_refused() {
    for args in [
        &["--room", "a b"][..],
        &["--room", ""],
        &["--room", "."],
        &["--room", ".."],
        &["--room", "ws"],
        &["--room", "healthz"],
        &["--fps", "0"],
        &["--max-bitrate", "55"],
        &["--max-bitrate", "10000001"],
        &["--max-bitrate", "18446744073709551615"],
        &["--codec", "h264"],
        &["--screen", "y4m:a"],
        &["--camera", "nonsense:x"],
        &["--render", "braille"],
        &["--output-rate", "0"],
        &["--output-rate", "fast"],
    ] {
        assert!(resolve(args, &Config::default()).is_err(), "{args:?}");
    }
}
