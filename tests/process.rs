//! The real program as other programs meet it: headless people, a meeting point, files in and out,
//! and everything that can be wrong with them.

mod support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use facetty::io::clock;
use facetty::media::stamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::files::{self, CLIP, CLIP_FRAMES, Folder, TONE_HZ};
use support::program::{DEADLINE, DEMO, Ended, NO_DEVICES, Program, Server, person, source};
use support::socket::{Said, Socket, fake_server, fake_server_at};

fn start(server: &Server, name: &str, more: &[&str]) -> Program {
    Program::start(&person(server, "lobby", name, more))
}

#[test]
fn a_clip_and_a_tone_arrive_at_the_other_side() {
    let folder = Folder::new();
    let server = Server::start();
    let (clip, tone) = (folder.clip(), folder.tone());
    let (seen, heard) = (folder.path("seen.y4m"), folder.path("heard.wav"));
    let mut ann = start(&server, "ann", &["--camera", &clip, "--mic", &tone]);
    let joined = ann.event("joined");
    assert_eq!(joined["room"], "lobby");
    assert!(
        joined["link"].as_str().expect("a link").contains("lobby"),
        "{joined}"
    );

    let (screen, speaker) = (source("y4m", &seen), source("wav", &heard));
    let mut bob = start(&server, "bob", &["--screen", &screen, "--speaker", &speaker]);
    let came = ann.event("peer-joined");
    assert_eq!(came["name"], "bob");
    let bob_id = came["peer"].clone();
    let connected = bob.event("connected");
    assert_eq!(connected["local"], "host", "{connected}");
    assert_eq!(connected["transport"], "udp");
    assert_eq!(connected["video"], "VP9");
    bob.event("first-frame");
    bob.once("first-audio");
    // Two seconds in which pictures and sound flow.
    let stats = bob.event_where("stats", |s| s["fps_in"].as_f64() > Some(0.0));
    assert!(stats["recv_kbps"].as_f64() > Some(10.0), "{stats}");
    bob.event_where("stats", |s| s["fps_in"].is_number());
    let ended = bob.leave();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.all("ended").len(), 1);
    ann.event_where("peer-left", |e| e["peer"] == bob_id && e["name"] == "bob");
    assert_eq!(ann.leave().code, Some(0));

    let numbers: Vec<Option<u32>> = files::read_clip(&seen).iter().map(stamp::read).collect();
    let readable: Vec<u32> = numbers.iter().flatten().copied().collect();
    assert!(
        readable.len() >= 30,
        "only {} of {} frames readable",
        readable.len(),
        numbers.len()
    );
    assert!(
        readable.len() * 10 >= numbers.len() * 9,
        "too many unreadable: {numbers:?}"
    );
    for pair in readable.windows(2) {
        let step = (pair[1] + CLIP_FRAMES - pair[0]) % CLIP_FRAMES;
        assert!(step < CLIP_FRAMES / 2, "{} came after {}", pair[1], pair[0]);
    }

    let (samples, rate) = files::read_wav(&heard);
    let second = rate as usize;
    assert!(samples.len() > second, "only {} samples heard", samples.len());
    // A machine that is busy elsewhere tears holes; what lies between them is whole.
    let best = samples
        .chunks_exact(second / 10)
        .map(|part| files::share_at(part, rate, TONE_HZ))
        .fold(0.0, f32::max);
    assert!(best > 0.8, "the tone is {best} of what was heard");
}

#[test]
fn the_call_outlives_the_server_and_both_come_back_to_it() {
    let folder = Folder::new();
    let server = Server::start();
    let clip = folder.clip();
    let mut ann = start(&server, "ann", &["--camera", &clip]);
    let ann_id = ann.event("joined")["id"].clone();
    let mut bob = start(&server, "bob", &["--camera", &clip]);
    let bob_id = bob.event("joined")["id"].clone();
    for person in [&mut ann, &mut bob] {
        person.event("first-frame");
    }

    let address = server.address();
    server.kill();
    let picture_flows = |person: &mut Program, other: &Value| {
        person.event_where("stats", |s| {
            s["peer"] == *other && s["fps_in"].as_f64() > Some(0.0)
        });
    };
    for _ in 0..3 {
        picture_flows(&mut ann, &bob_id);
        picture_flows(&mut bob, &ann_id);
    }

    // They find the way back by themselves, and are who they were.
    let server = Server::listen(&address);
    let (mut watcher, welcome) = Socket::join(&server, "lobby", "watcher");
    let mut back: Vec<Value> = welcome["peers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| p["id"].clone())
        .collect();
    while back.len() < 2 {
        back.push(watcher.next_of("peer-joined")["id"].clone());
    }
    assert!(
        back.contains(&ann_id) && back.contains(&bob_id),
        "{ann_id} and {bob_id} came back as {back:?}"
    );
    picture_flows(&mut ann, &bob_id);
    picture_flows(&mut bob, &ann_id);
    let ended = bob.leave();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let again = ended
        .all("connected")
        .iter()
        .filter(|e| e["peer"] == ann_id)
        .count();
    assert_eq!(again, 1, "the call was not set up anew");
    ann.event_where("peer-left", |e| e["peer"] == bob_id && e["name"] == "bob");
    assert_eq!(ann.leave().code, Some(0));
}

#[test]
fn a_call_goes_on_although_the_server_comes_back_as_another_version() {
    let server = Server::start();
    let mut ann = start(&server, "ann", &["--camera", "test"]);
    ann.event("joined");
    let mut bob = start(&server, "bob", &[]);
    let bob_id = bob.event("joined")["id"].clone();
    bob.event("first-frame");
    ann.event("connected");

    let address = server.address();
    server.kill();
    let refusal = json!({"type": "error", "code": "version", "message": "this server speaks version 2"});
    // Whoever of the two comes first is refused.
    let (_, fake) = fake_server_at(&address, vec![refusal.to_string()]);
    let refused = |e: &Value| e["message"].as_str().is_some_and(|m| m.contains("version"));
    fake.join().expect("the server does not panic");
    let is_told = |p: &mut Program| p.events().iter().any(|e| e["event"] == "error" && refused(e));
    for _ in 0..2 {
        ann.event_where("stats", |s| s["peer"] == bob_id);
        let stats = bob.event_where("stats", |s| s["peer"].is_string());
        assert!(
            stats["fps_in"].as_f64() > Some(0.0),
            "the picture stands: {stats}"
        );
    }
    assert!(is_told(&mut ann) || is_told(&mut bob), "nobody is told");
    assert_eq!(bob.leave().code, Some(0));
    ann.kill();
}

#[test]
fn commands_are_obeyed_and_nonsense_is_answered() {
    let folder = Folder::new();
    let server = Server::start();
    let (clip, tone) = (folder.clip(), folder.tone());
    let mut ann = start(&server, "ann", &["--camera", &clip, "--mic", &tone]);
    ann.event("joined");
    let mut bob = start(&server, "bob", &["--camera", "test", "--mic", "tone"]);
    ann.event("first-frame");
    bob.event("first-frame");

    ann.tell(r#"{"do":"mic","on":false}"#);
    let mute = bob.event_where("mute", |m| m["mic"] == true);
    assert_eq!(mute["camera"], false);
    ann.tell(r#"{"do":"camera","on":false}"#);
    bob.event_where("mute", |m| m["camera"] == true);
    bob.event_where("stats", |s| s["fps_in"] == 0.0);
    ann.tell(r#"{"do":"camera","on":true}"#);
    ann.tell(r#"{"do":"mic","on":true}"#);
    bob.event_where("mute", |m| m["camera"] == false && m["mic"] == false);

    // A receiver that can show little is sent little, at the picture's own aspect.
    bob.tell(r#"{"do":"viewport","width":64,"height":64,"fps":30}"#);
    let stats = bob.event_where("stats", |s| s["width_in"] == 64);
    assert_eq!(stats["height_in"], 48);
    bob.tell(r#"{"do":"viewport","width":160,"height":120,"fps":10}"#);
    bob.event_where("stats", |s| s["width_in"] == 160 && s["height_in"] == 120);
    bob.event_where("stats", |s| s["fps_in"].as_f64() < Some(15.0));

    for nonsense in [
        "hello",
        "{}",
        r#"{"do":"fly"}"#,
        r#"{"do":"mic"}"#,
        r#"{"do":"mic","on":"maybe"}"#,
    ] {
        bob.tell(nonsense);
        let error = bob.event("error");
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{error}"
        );
    }
    bob.event_where("stats", |s| s["fps_in"].as_f64() > Some(0.0));
    assert_eq!(bob.leave().code, Some(0));
    assert_eq!(ann.leave().code, Some(0));
}

#[test]
fn what_is_written_is_read_by_everyone_in_the_room() {
    let server = Server::start();
    let mut ann = start(&server, "ann", &[]);
    let ann_id = ann.event("joined")["id"].clone();
    // Before anybody could be reached.
    let mut bob = start(&server, "bob", &[]);
    bob.event("peer-joined");
    bob.tell(r#"{"do":"chat","text":"is it you?"}"#);
    let read = ann.event("chat");
    assert_eq!(read["text"], "is it you?");
    assert_eq!(read["peer"], bob.once("joined")["id"]);
    let mut cleo = start(&server, "cleo", &[]);
    for _ in 0..2 {
        cleo.event("connected");
    }
    ann.event_where("peer-joined", |e| e["name"] == "cleo");
    ann.tell(r#"{"do":"chat","text":"all of \u001b[31myou\u202e\r\n李小龍 👩‍👩‍👧"}"#);
    for reader in [&mut bob, &mut cleo] {
        let read = reader.event("chat");
        assert_eq!(read["text"], "all of [31myou  李小龍 👩‍👩‍👧");
        assert_eq!(read["peer"], ann_id);
    }
    ann.tell(r#"{"do":"chat","text":" "}"#);
    assert_eq!(ann.event("error")["code"], "bad-command");
    ann.tell(&json!({ "do": "chat", "text": "é".repeat(9000) }).to_string());
    let read = cleo.event("chat");
    assert_eq!(read["text"].as_str().map(|text| text.chars().count()), Some(2000));
}

#[test]
fn without_a_server_people_find_each_other_and_outlive_their_hosts() {
    let folder = Folder::new();
    let clip = folder.clip();
    // A name of its own: other people on this network may be in a lobby.
    let room = format!("test-{}", std::process::id());
    let start = |name| {
        let args = ["--headless", "--room", &room, "--name", name, "--camera", &clip];
        Program::start(&[&args[..], &["--mic", "none", "--speaker", "none"]].concat())
    };
    let mut ann = start("ann");
    ann.event("serving");
    ann.event("joined");
    let mut bob = start("bob");
    bob.event("first-frame");
    let mut carol = start("carol");
    for _ in 0..2 {
        carol.event("first-frame");
    }
    let carol_id = carol.once("joined")["id"].clone();
    bob.event_where("first-frame", |e| e["peer"] == carol_id);

    let bob_id = bob.once("joined")["id"].clone();

    let ended = ann.leave();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for _ in 0..3 {
        bob.event_where("stats", |s| {
            s["peer"] == carol_id && s["fps_in"].as_f64() > Some(0.0)
        });
    }

    // One of those who remain is the host now: newcomers find the room, and both in it.
    let (mut host, host_id, mut other, other_id) = if bob_id.as_str() < carol_id.as_str() {
        (bob, bob_id, carol, carol_id)
    } else {
        (carol, carol_id, bob, bob_id)
    };
    host.once("serving");
    let mut dave = start("dave");
    for _ in 0..2 {
        dave.event("first-frame");
    }
    // That one crashes, and the room is opened once more.
    let dave_id = dave.once("joined")["id"].clone();
    other.event_where("first-frame", |e| e["peer"] == dave_id);
    host.kill();
    let next = if other_id.as_str() < dave_id.as_str() {
        &mut other
    } else {
        &mut dave
    };
    next.once("serving");
    let mut erin = start("erin");
    erin.event_where("first-frame", |e| e["peer"] == other_id);
    // Somebody may take a turn that a slow machine let pass; that room then becomes one with the other.
    for (person, may_serve) in [(other, true), (dave, true), (erin, false)] {
        let ended = person.leave();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            may_serve || ended.all("serving").is_empty(),
            "erin found the room"
        );
        let with_host = ended
            .all("connected")
            .into_iter()
            .filter(|e| e["peer"] == host_id)
            .count();
        assert!(with_host <= 1, "no call was set up anew");
    }
}

#[test]
fn two_servers_of_one_room_become_one_with_all_who_are_there() {
    let room = format!("twice-{}", std::process::id());
    // What is found on one machine is not found on the other, but by the network.
    let machines = [Folder::new(), Folder::new()];
    let start = |machine: usize, name: &str| {
        let args = ["--headless", "--room", &room, "--name", name, "--camera", "test"];
        let args = [&args[..], &["--mic", "none", "--speaker", "none"]].concat();
        Program::start_with(&args, "XDG_RUNTIME_DIR", machines[machine].root())
    };
    let pair = |machine: usize, host: &str, guest: &str| {
        let mut host = start(machine, host);
        host.event("serving");
        let mut guest = start(machine, guest);
        guest.event("first-frame");
        [host, guest]
    };
    let [ann, bob] = pair(0, "ann", "bob");
    // Whoever is stopped answers nobody who looks for the room.
    ann.signal(Signal::STOP);
    let [carol, dave] = pair(1, "carol", "dave");
    ann.signal(Signal::CONT);
    let mut people = [ann, bob, carol, dave];
    let ids: Vec<Value> = people
        .iter_mut()
        .map(|p| p.once("joined")["id"].clone())
        .collect();
    for (person, own) in people.iter_mut().zip(&ids) {
        for other in ids.iter().filter(|id| *id != own) {
            if !person
                .events()
                .iter()
                .any(|e| e["event"] == "first-frame" && e["peer"] == *other)
            {
                person.event_where("first-frame", |e| e["peer"] == *other);
            }
        }
    }
    for person in people {
        let ended = person.leave();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(
            ended.all("connected").len(),
            3,
            "each call is set up once: {:#?}",
            ended.events
        );
    }
}

#[test]
fn devices_are_listed() {
    let output = Command::new(env!("CARGO_BIN_EXE_facetty"))
        .arg("devices")
        .output();
    let output = output.expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("words");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &[][..])
    );
    for title in ["Cameras\n  ", "Microphones\n  ", "Speakers\n  "] {
        assert!(text.contains(title), "{text}");
    }
}

#[test]
fn the_demo_shows_and_sounds() {
    let mut demo = Program::start(&[DEMO, &["--headless", "--duration", "5"]].concat());
    demo.event("joined");
    demo.event("connected");
    demo.event("first-frame");
    demo.once("first-audio");
    let ended = demo.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.events.last().expect("there were events")["event"], "ended");
}

#[test]
fn pictures_come_live_from_standard_input() {
    let folder = Folder::new();
    let server = Server::start();
    let seen = folder.path("seen.y4m");
    let mut bob = start(&server, "bob", &["--screen", &source("y4m", &seen)]);
    bob.event("joined");
    let mut ann = start(&server, "ann", &["--camera", "y4m:-"]);
    ann.write(files::y4m_header(CLIP).as_bytes());
    // Frame after frame, as fast as they are taken, until some have come out at the other end.
    let mut n = 0;
    while !bob
        .events()
        .iter()
        .any(|e| e["event"] == "stats" && e["fps_in"].as_f64() > Some(0.0))
    {
        ann.write(files::FRAME);
        ann.write(files::stamped(CLIP, n).bytes());
        n += 1;
        assert!(n < 100_000, "frames come in and none comes out");
    }
    assert_eq!(bob.leave().code, Some(0));
    ann.signal(rustix::process::Signal::TERM);
    assert_eq!(ann.ended().code, Some(0));
    let readable: Vec<u32> = files::read_clip(&seen).iter().filter_map(stamp::read).collect();
    assert!(!readable.is_empty(), "no frame is readable");
    assert!(readable.is_sorted(), "out of order: {readable:?}");
    assert!(
        readable.iter().all(|&number| number < n),
        "never sent: {readable:?}"
    );
}

#[test]
fn a_codec_can_be_asked_for_and_two_that_share_none_are_told() {
    let server = Server::start();
    let picture = ["--camera", "test", "--codec", "vp8"];
    let mut ann = start(&server, "ann", &picture);
    ann.event("joined");
    let mut bob = start(&server, "bob", &["--camera", "test"]);
    assert_eq!(bob.event("connected")["video"], "VP8");
    bob.event("first-frame");
    assert_eq!(bob.leave().code, Some(0));

    let mut carol = start(&server, "carol", &["--camera", "test", "--codec", "vp9"]);
    let error = carol.event("error");
    assert!(
        error["message"].as_str().expect("words").contains("codec"),
        "{error}"
    );
    carol.leave();
    ann.leave();
}

#[test]
fn it_leaves_after_the_duration() {
    let server = Server::start();
    let ended = start(&server, "ann", &["--duration", "1"]).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let last = ended.events.last().expect("there were events");
    assert_eq!(last["event"], "ended");
    assert!(last["t_ms"].as_f64() >= Some(1000.0), "too early: {last}");
}

#[test]
fn it_ends_although_nobody_takes_its_events() {
    let server = Server::start();
    let (_reader, mut full) = std::io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&full, true).expect("a pipe can be asked not to wait");
    while full.write(&[b' '; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).expect("a pipe can be asked to wait");
    let args = person(&server, "lobby", "ann", &["--duration", "0.1"]);
    let ended = Program::start_to(full, &args).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// That a reader goes is its wish; that a disk is full is nobody's.
#[test]
#[cfg(target_os = "linux")]
fn events_that_cannot_be_written_end_it_with_the_reason() {
    let server = Server::start();
    let full = std::fs::File::options().write(true).open("/dev/full");
    let args = person(&server, "lobby", "ann", &[]);
    let ended = Program::start_to(full.expect("Linux has it"), &args).ended();
    fails_in_one_line(&ended, 1, "standard output takes nothing: No space left");
}

#[test]
fn what_keeps_a_call_from_beginning_is_told_to_programs_too() {
    let ended = Program::start(&[
        "--headless",
        "--camera",
        "image:/nope",
        "--mic",
        "none",
        "--speaker",
        "none",
    ])
    .ended();
    fails_in_one_line(&ended, 1, "/nope");
    let [error, end] = &ended.events[..] else {
        panic!("not two events: {:?}", ended.events)
    };
    assert_eq!(
        (&error["event"], &error["code"]),
        (&json!("error"), &json!("camera"))
    );
    assert!(
        error["message"].as_str().expect("words").contains("/nope"),
        "{error}"
    );
    assert_eq!(
        (&end["event"], &end["reason"]),
        (&json!("ended"), &json!("camera"))
    );
}

#[test]
fn without_a_path_the_end_says_so() {
    // Somebody who is there and never answers.
    let lines = vec![
        json!({"type": "welcome", "id": "me", "peers": []}).to_string(),
        json!({"type": "peer-joined", "id": "eve", "name": "eve"}).to_string(),
    ];
    let (url, fake) = fake_server(lines);
    let mut ann = headless_at(&url);
    ann.event_where("path", |p| p["state"] == "failed");
    let ended = ann.leave();
    fails_in_one_line(&ended, 5, "path");
    assert_eq!(ended.all("error").last().expect("told")["code"], "no-path");
    assert_eq!(ended.all("ended")[0]["reason"], "no-path");
    fake.join().expect("the server does not panic");
}

#[test]
fn a_duration_longer_than_any_clock_is_no_end() {
    let server = Server::start();
    let mut ann = start(&server, "ann", &["--duration", "1e19"]);
    ann.event("joined");
    assert_eq!(ann.leave().code, Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_terminal_to_give_back_it_stops_as_every_program_does() {
    let mut serve = Program::start(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--turn-listen",
        "127.0.0.1:0",
        "--headless",
    ]);
    serve.event("serving");
    let url = serve.events()[0]["url"].as_str().expect("a URL").to_owned();
    let mut ann = headless_at(&url);
    ann.event("joined");
    for program in [ann, serve] {
        program.signal(rustix::process::Signal::TSTP);
        let status = format!("/proc/{}/status", program.pid().as_raw_nonzero());
        let is_stopped = || {
            let text = std::fs::read_to_string(&status).expect("it runs");
            text.contains("State:\tT")
        };
        let deadline = clock::now() + DEADLINE;
        while !is_stopped() {
            assert!(clock::now() < deadline, "SIGTSTP is swallowed");
            std::thread::yield_now();
        }
        program.kill();
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", nobody.local_addr().expect("bound"));
    drop(nobody);
    fails_in_one_line(&headless_at(&url).ended(), 3, &url);
}

#[test]
fn a_server_of_another_version_is_refused() {
    let refusal = json!({"type": "error", "code": "version", "message": "this server speaks version 2"});
    let (url, fake) = fake_server(vec![refusal.to_string()]);
    let ended = headless_at(&url).ended();
    fails_in_one_line(&ended, 4, "version 2; use the same release on both sides");
    fake.join().expect("the server does not panic");
}

#[test]
fn nonsense_from_the_server_harms_nobody() {
    let deep = "[".repeat(10_000);
    let lines = vec![
        json!({"type": "welcome", "id": "me", "peers": []}).to_string(),
        "garbage".into(),
        deep,
        json!({"type": "of-tomorrow", "x": 1}).to_string(),
        json!({"type": "signal", "from": "nobody", "description": {"type": "offer", "sdp": "v=0\r\nrubbish"}}).to_string(),
        json!({"type": "signal", "from": "nobody", "candidate": {"candidate": "candidate:rubbish"}}).to_string(),
        json!({"type": "peer-joined", "id": "eve", "name": "\u{1b}[2Jeve\u{202e}"}).to_string(),
        json!({"type": "signal", "from": "eve", "description": {"type": "answer", "sdp": ""}}).to_string(),
    ];
    let (url, fake) = fake_server(lines);
    let mut ann = headless_at(&url);
    let came = ann.event("peer-joined");
    assert!(
        !came["name"]
            .as_str()
            .expect("a name")
            .contains(['\u{1b}', '\u{202e}']),
        "{came}"
    );
    let ended = ann.leave();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    fake.join().expect("the server does not panic");
}

#[test]
fn a_full_room_is_refused() {
    let server = Server::start();
    let _people: Vec<Socket> = (0..8)
        .map(|n| Socket::join(&server, "lobby", &format!("p{n}")).0)
        .collect();
    fails_in_one_line(
        &start(&server, "late", &[]).ended(),
        4,
        "lobby is full: 8 people are there; wait until somebody leaves",
    );
    // Next door there is room.
    let (_socket, welcome) = Socket::join(&server, "next-door", "late");
    assert_eq!(welcome["peers"], json!([]));
}

#[test]
fn the_server_answers_what_is_wrong_and_goes_on() {
    let server = Server::start();
    let (mut ann, _) = Socket::join(&server, "lobby", "ann");

    // Malformed: named, and the socket stays.
    for nonsense in [
        "",
        "garbage",
        "{}",
        "[]",
        r#"{"type":"signal","to":"x"}"#,
        r#"{"type":"signal","to":"../..","candidate":null}"#,
    ] {
        ann.say(nonsense);
        assert_eq!(ann.next_of("error")["code"], "malformed", "{nonsense}");
    }
    ann.say(&json!({"type": "signal", "to": "nobody", "candidate": null}).to_string());
    assert_eq!(ann.next_of("error")["code"], "no-such-peer");

    // Oversized: the socket closes.
    let (mut big, _) = Socket::join(&server, "lobby", "big");
    big.say(&"x".repeat(64 * 1024 + 1));
    closes_with(&mut big, "too-large");

    let mut old = Socket::open(&server);
    old.say(
        &json!({"type": "join", "version": 999, "room": "lobby", "name": "old", "key": "k".repeat(32)})
            .to_string(),
    );
    closes_with(&mut old, "version");
    let mut bad = Socket::open(&server);
    bad.say(
        &json!({"type": "join", "version": 1, "room": "no/room", "name": "bad", "key": "k".repeat(32)})
            .to_string(),
    );
    closes_with(&mut bad, "bad-room");
    let mut rude = Socket::open(&server);
    rude.say(&json!({"type": "signal", "to": "nobody", "candidate": null}).to_string());
    closes_with(&mut rude, "not-joined");

    // Whoever was in the room still is, and is heard.
    let (mut bob, welcome) = Socket::join(&server, "lobby", "bob");
    let ann_id = welcome["peers"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|p| p["name"] == "ann")
        .expect("ann")["id"]
        .clone();
    bob.say(&json!({"type": "signal", "to": ann_id, "candidate": null}).to_string());
    assert_eq!(ann.next_of("signal")["from"], welcome["id"]);

    // No bytes of any kind stop it.
    for bytes in [
        &b"\0\xff\xff\xff"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ] {
        use std::io::Write;
        let mut raw = TcpStream::connect(server.address()).expect("the server listens");
        raw.write_all(bytes).expect("the server reads");
    }
    Socket::join(&server, "lobby", "carol");
}

#[test]
fn a_private_room_has_a_code_by_which_others_join() {
    let server = Server::start();
    let start = |more: &[&str]| {
        let args = ["--headless", "--server", &server.url];
        Program::start(&[&args[..], NO_DEVICES, more].concat())
    };
    let mut ann = start(&["--name", "ann"]);
    let joined = ann.event("joined");
    let code = joined["code"].as_str().expect("a code").to_owned();
    assert_eq!(joined["room"], code.as_str());
    assert!(
        joined["link"]
            .as_str()
            .expect("a link")
            .ends_with(&format!("/{code}")),
        "{joined}"
    );
    let mut bob = start(&["--name", "bob", &code.to_uppercase()]);
    assert_eq!(bob.event("joined")["code"], code.as_str());
    assert_eq!(ann.event("peer-joined")["name"], "bob");
    let mut carol = start(&["--name", "carol", "--room", "lobby"]);
    assert_eq!(
        carol.event("joined")["code"],
        Value::Null,
        "a room with a name has none"
    );
}

#[test]
fn wrong_usage_is_named() {
    let too_long = "x".repeat(65);
    for (args, named) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["--room", "two words"], "--room"),
        (&["--room", ""], "--room"),
        (&["--room", &too_long], "--room"),
        (&["--room", "a", "--fps", "0"], "--fps"),
        (&["--room", "a", "--fps", "61"], "--fps"),
        (&["--room", "a", "--codec", "h261"], "--codec"),
        (&["--room", "a", "--color", "pink"], "--color"),
        (&["--room", "a", "--max-bitrate", "much"], "--max-bitrate"),
        (&["--room", "a", "--duration", "soon"], "--duration"),
        (&["--room", "a", "--server", "gopher://example.org"], "--server"),
        (&["--room", "a", "--camera", "film:x"], "--camera"),
        (&["lobby"], "a code is a number and two words"),
        (&["7-crosover-clockwork"], "crossover"),
        (&["serve", "--listen", "here"], "--listen"),
    ] {
        let ended = Program::start(args).ended();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(named), "{args:?}: {}", ended.stderr);
        assert!(ended.events.is_empty(), "{args:?}");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_what_it_says_is_named() {
    let folder = Folder::new();
    let server = Server::start();
    let (gone, rubbish) = (folder.path("gone"), folder.path("rubbish"));
    files::write(&rubbish, b"neither picture nor sound");
    let cut = folder.path("cut.y4m");
    files::write(&cut, b"YUV4MPEG2 W320 H240 F30:1\nFRAME\nshort");
    let huge = folder.path("huge.y4m");
    files::write(&huge, b"YUV4MPEG2 W4000000000 H4000000000 F30:1\nFRAME\n");
    let fails = |option: &str, kind: &str, path: &Path| {
        let ended = start(&server, "ann", &[option, &source(kind, path)]).ended();
        fails_in_one_line(&ended, 1, &path.display().to_string());
    };
    for path in [&gone, &rubbish] {
        fails("--camera", "y4m", path);
        fails("--camera", "image", path);
        fails("--mic", "wav", path);
    }
    fails("--camera", "y4m", &cut);
    fails("--camera", "y4m", &huge);
    let nowhere = folder.path("no/folder");
    fails("--speaker", "wav", &nowhere);
    fails("--screen", "y4m", &nowhere);
}

fn headless_at(url: &str) -> Program {
    let args = ["--headless", "--server", url, "--room", "lobby", "--name", "ann"];
    Program::start(&[&args[..], NO_DEVICES].concat())
}

fn fails_in_one_line(ended: &Ended, code: i32, named: &str) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert_eq!(
        ended.stderr.trim_end().lines().count(),
        1,
        "one line: {}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains(named),
        "{named:?} is not named: {}",
        ended.stderr
    );
}

fn closes_with(socket: &mut Socket, code: &str) {
    assert_eq!(socket.next_of("error")["code"], code);
    while socket.next() != Said::Closed {}
}
