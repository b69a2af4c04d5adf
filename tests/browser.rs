//! The browser's side, with a real Chromium: it joins, sees, hears and is seen and heard; and every
//! error and warning of its console fails the test.

mod support;

use facetty::media::stamp;
use facetty::units::Cells;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::browser::{Browser, Setup};
use support::files::{self, CLIP, CLIP_FRAMES, Folder};
use support::program::{Program, Server, person, source};
use support::socket::Socket;
use support::terminal::Terminal as Window;

/// A terminal with a stamped clip and a tone, which keeps what it sees and hears.
struct Terminal {
    program: Program,
    folder: Folder,
}

impl Terminal {
    fn start(server: &Server, name: &str, codec: &str) -> Self {
        let folder = Folder::new();
        let (clip, tone) = (folder.clip(), folder.tone());
        let heard = source("wav", &folder.path("heard.wav"));
        let seen = source("y4m", &folder.path("seen.y4m"));
        let devices = [
            "--camera",
            &clip,
            "--mic",
            &tone,
            "--speaker",
            &heard,
            "--screen",
            &seen,
            "--codec",
            codec,
        ];
        let mut program = Program::start(&person(server, "lobby", name, &devices));
        program.event("joined");
        Self { program, folder }
    }
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(0.0)
}

fn sees_and_hears(browser: &Browser) {
    browser.row_where("inbound-rtp", "video", |row| number(row, "framesDecoded") > 30.0);
    browser.row_where("inbound-rtp", "audio", |row| {
        number(row, "packetsReceived") > 50.0 && number(row, "totalAudioEnergy") > 0.0
    });
    let numbers: Vec<_> = (0..20).filter_map(|_| stamp::read(&browser.picture()?)).collect();
    assert!(numbers.len() > 10, "stamps read: {numbers:?}");
    assert!(numbers.iter().all(|n| *n < CLIP_FRAMES), "{numbers:?}");
}

fn is_seen_and_heard(terminal: Terminal) {
    let Terminal { mut program, folder } = terminal;
    program.once("first-frame");
    program.once("first-audio");
    for _ in 0..3 {
        program.event_where("stats", |s| s["fps_in"].as_f64() > Some(5.0));
    }
    let ended = program.leave();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let frames = files::read_clip(&folder.path("seen.y4m"));
    assert!(frames.len() > 20, "only {} frames", frames.len());
    // The browser's camera shows a green ground, and on it a clock and a Pac-Man that moves.
    let last = &frames[frames.len() - 1];
    let [_, u, v] = last.planes().map(|plane| {
        let sum: u32 = plane.data.iter().map(|&sample| u32::from(sample)).sum();
        sum / plane.data.len() as u32
    });
    assert!(u < 80 && v < 80, "not green: {u} {v}");
    assert!(
        frames.iter().any(|f| f.bytes() != last.bytes()),
        "the picture stands"
    );
    // It beeps twice a second: loud parts and still ones.
    let (samples, rate) = files::read_wav(&folder.path("heard.wav"));
    let loud = |part: &[f32]| part.iter().map(|s| s * s).sum::<f32>() / part.len() as f32 > 1e-4;
    let parts: Vec<bool> = samples.chunks_exact(rate as usize / 20).map(loud).collect();
    let beeps = parts.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert!(beeps >= 3, "{beeps} beeps in {} s", samples.len() / rate as usize);
}

fn call(codec: &str, browser_first: bool) {
    let server = Server::start();
    let mut browser = Browser::start();
    let terminal = if browser_first {
        browser.join(&server.page(), "lobby", "Bea");
        browser.shows("You are alone in lobby.");
        Terminal::start(&server, "ann", codec)
    } else {
        let mut terminal = Terminal::start(&server, "ann", codec);
        browser.join(&server.page(), "lobby", "Bea");
        assert_eq!(terminal.program.event("peer-joined")["name"], "Bea");
        terminal
    };
    sees_and_hears(&browser);
    let codecs = browser.stats().concat();
    let used: Vec<_> = codecs
        .iter()
        .filter(|r| r["type"] == "codec")
        .map(|r| r["mimeType"].clone())
        .collect();
    let wanted = if codec == "vp8" { "video/VP8" } else { "video/VP9" };
    assert!(used.contains(&wanted.into()), "{used:?}");
    browser.check();
    is_seen_and_heard(terminal);
    browser.shows("ann left");
    browser.check();
}

#[test]
fn a_browser_joins_a_terminal() {
    call("auto", false);
}

#[test]
fn a_terminal_joins_a_browser() {
    call("auto", true);
}

#[test]
fn a_browser_joins_a_terminal_with_vp8() {
    call("vp8", false);
}

#[test]
fn a_terminal_with_vp8_joins_a_browser() {
    call("vp8", true);
}

/// A browser and a terminal that see each other.
fn met() -> (Server, Browser, Terminal) {
    let server = Server::start();
    let mut terminal = Terminal::start(&server, "ann", "auto");
    let browser = Browser::start();
    browser.join(&server.page(), "lobby", "Bea");
    terminal.program.once("first-frame");
    browser.row_where("inbound-rtp", "video", |row| number(row, "framesDecoded") > 0.0);
    (server, browser, terminal)
}

#[test]
fn microphone_and_camera_are_switched_on_both_sides() {
    let (_server, mut browser, mut ann) = met();
    let mute = |mic: bool, camera: bool| move |e: &Value| e["mic"] == mic && e["camera"] == camera;
    browser.press("m");
    ann.program.event_where("mute", mute(true, false));
    browser.press("v");
    ann.program.event_where("mute", mute(true, true));
    ann.program.event_where("stats", |s| s["fps_in"] == 0.0);
    let silent = browser.row("outbound-rtp", "video")["framesSent"].clone();
    ann.program.event_where("stats", |s| s["fps_in"] == 0.0);
    assert_eq!(browser.row("outbound-rtp", "video")["framesSent"], silent);
    browser.press("v");
    browser.press("m");
    ann.program.event_where("mute", mute(false, false));
    ann.program
        .event_where("stats", |s| s["fps_in"].as_f64() > Some(5.0));

    ann.program.tell(r#"{"do":"camera","on":false}"#);
    browser.until(
        "ann's initials are shown",
        "return document.querySelector('.tile[aria-label=\"ann, camera off\"]:not(.seen)') !== null",
    );
    ann.program.tell(r#"{"do":"mic","on":false}"#);
    browser.until(
        "ann is shown as muted",
        "return document.querySelector('.tile[aria-label=\"ann, muted, camera off\"]') !== null",
    );
    ann.program.tell(r#"{"do":"camera","on":true}"#);
    ann.program.tell(r#"{"do":"mic","on":true}"#);
    browser.until(
        "ann is seen again",
        "return document.querySelector('.tile.seen[aria-label=\"ann\"]') !== null",
    );
    let decoded = number(&browser.row("inbound-rtp", "video"), "framesDecoded");
    browser.row_where("inbound-rtp", "video", |row| {
        number(row, "framesDecoded") > decoded + 5.0
    });
    browser.check();
}

#[test]
fn what_is_written_arrives_on_both_sides() {
    let (_server, mut browser, mut ann) = met();
    browser.press("c");
    browser.press("hello <b>from</b> here\u{e007}");
    let said = ann.program.event("chat");
    assert_eq!(said["text"], "hello <b>from</b> here");
    ann.program
        .tell(r#"{"do":"chat","text":"<i>hi</i> https://example.org/x."}"#);
    browser.shows("<i>hi</i> https://example.org/x.");
    let link = browser.run("return document.querySelector('#chat-list a').href", &[]);
    assert_eq!(link, "https://example.org/x");
    browser.check();
}

#[test]
fn the_browser_sends_what_the_terminal_can_show() {
    let (_server, mut browser, mut ann) = met();
    for (width, height) in [(80, 46), (160, 92), (60, 24), (320, 180)] {
        let viewport = json!({ "do": "viewport", "width": width, "height": height, "fps": 30 });
        ann.program.tell(&viewport.to_string());
        browser.row_where("outbound-rtp", "video", |row| {
            let (w, h) = (row["frameWidth"].as_u64(), row["frameHeight"].as_u64());
            let fits = w <= Some(width) && h <= Some(height);
            fits && (w >= Some(width - 1) || h >= Some(height - 1))
        });
    }
    // Nothing is sent to who can show nothing.
    ann.program
        .tell(r#"{"do":"viewport","width":0,"height":0,"fps":0}"#);
    ann.program.event_where("stats", |s| s["fps_in"] == 0.0);
    browser.check();
}

#[test]
fn a_terminal_takes_another_size_and_the_browser_follows() {
    let server = Server::start();
    let args = person(
        &server,
        "lobby",
        "ann",
        &["--camera", "test", "--mic", "tone", "--render", "half"],
    );
    let mut ann = Window::start(Cells::new(80, 24), &args[1..], None);
    ann.until("ann waits", |screen| screen.contents().contains("alone in lobby"));
    let mut browser = Browser::start();
    browser.join(&server.page(), "lobby", "Bea");
    for (cols, rows) in [(80, 24), (120, 40), (60, 20)] {
        ann.resize(Cells::new(cols, rows));
        // A pixel in width and two in height a cell, and below the picture a line of text.
        let (most_wide, most_high) = (f64::from(cols), f64::from(2 * (rows - 1)));
        browser.row_where("outbound-rtp", "video", |row| {
            let (wide, high) = (number(row, "frameWidth"), number(row, "frameHeight"));
            wide <= most_wide && high <= most_high && (wide >= most_wide - 1.0 || high >= most_high - 1.0)
        });
    }
    ann.type_keys("q");
    let (status, _) = ann.ended();
    assert!(status.success(), "{status:?}");
    browser.shows("ann left");
    browser.check();
}

#[test]
fn the_terminal_sends_what_the_tile_can_show() {
    let (_server, mut browser, mut ann) = met();
    ann.program.event_where("stats", |s| s["width_out"] == CLIP.width);
    let small = json!({ "width": 400, "height": 260, "deviceScaleFactor": 1, "mobile": false });
    browser.cdp("Emulation.setDeviceMetricsOverride", &small);
    ann.program.event_where("stats", |s| {
        let width = s["width_out"].as_u64();
        width > Some(0) && width < Some(u64::from(CLIP.width))
    });
    browser.check();
}

#[test]
fn a_screen_is_shared_and_taken_back() {
    let (server, mut browser, mut ann) = met();
    let mut other = Browser::start();
    other.join(&server.page(), "lobby", "Cem");
    let seen = "return document.querySelector('.tile.seen[aria-label=\"Bea: screen\"] video')?.videoWidth";
    for _ in 0..2 {
        browser.press("p");
        other.until("the screen is seen", seen);
        ann.program.event_where("screen", |e| e["on"] == true);
        ann.program.event_where("first-frame", |e| e["of"] == "screen");
        browser.until(
            "all are agreed",
            "return connections.every((c) => c.signalingState === 'stable' && c.connectionState === 'connected')",
        );
        browser.press("p");
        ann.program.event_where("screen", |e| e["on"] == false);
        other.until(
            "the screen is gone",
            "return document.querySelector('.tile[aria-label=\"Bea: screen\"]') === null",
        );
    }
    // The call with the terminal went on all the while.
    for _ in 0..2 {
        ann.program
            .event_where("stats", |s| s["fps_in"].as_f64() > Some(5.0));
    }
    assert_eq!(
        browser.run("return connections.length", &[]),
        2,
        "nothing was set up anew"
    );
    other.check();
    browser.check();
}

#[test]
fn who_loads_the_page_anew_is_gone_and_comes_again() {
    let (server, mut browser, mut ann) = met();
    let first = ann.program.once("peer-joined")["peer"].clone();
    browser.join(&server.page(), "lobby", "Bea");
    let left = ann.program.event("peer-left");
    assert_eq!((&left["peer"], &left["reason"]), (&first, &json!("left")));
    let second = ann.program.event("peer-joined")["peer"].clone();
    assert_ne!(first, second);
    ann.program.event_where("first-frame", |e| e["peer"] == second);
    browser.press("q");
    browser.shows("You left");
    ann.program
        .event_where("peer-left", |e| e["peer"] == second && e["reason"] == "left");
    browser.check();
}

#[test]
fn the_call_outlives_the_server_and_the_page_comes_back_to_it() {
    let (server, mut browser, mut ann) = met();
    let id = ann.program.once("peer-joined")["peer"].clone();
    browser.expect_message("WebSocket connection to");
    let address = server.address();
    server.kill();
    browser.shows("The server cannot be reached.");
    let decoded = number(&browser.row("inbound-rtp", "video"), "framesDecoded");
    browser.row_where("inbound-rtp", "video", |row| {
        number(row, "framesDecoded") > decoded + 30.0
    });

    let server = Server::listen(&address);
    let (mut watcher, welcome) = Socket::join(&server, "lobby", "watcher");
    let is_back = |peers: &Value| {
        peers
            .as_array()
            .is_some_and(|all| all.iter().any(|p| p["id"] == id))
    };
    if !is_back(&welcome["peers"]) {
        while watcher.next_of("peer-joined")["id"] != id {}
    }
    browser.until(
        "the page no longer seeks the server",
        "return !document.body.innerText.includes('cannot be reached')",
    );
    let decoded = number(&browser.row("inbound-rtp", "video"), "framesDecoded");
    browser.row_where("inbound-rtp", "video", |row| {
        number(row, "framesDecoded") > decoded + 30.0
    });
    let connected = |e: &&Value| e["event"] == "connected";
    assert_eq!(ann.program.events().iter().filter(connected).count(), 1);
    browser.check();
}

#[test]
fn three_meet_two_of_them_in_terminals() {
    let (server, mut browser, mut ann) = met();
    let mut bob = Terminal::start(&server, "bob", "auto");
    browser.until(
        "both are seen",
        "return [...document.querySelectorAll('.tile.seen:not(.own) video')].filter((v) => v.videoWidth).length === 2",
    );
    for terminal in [&mut ann, &mut bob] {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 2 {
            let stats = terminal
                .program
                .event_where("stats", |s| s["fps_in"].as_f64() > Some(5.0));
            seen.insert(stats["peer"].to_string());
        }
    }
    bob.program.leave();
    browser.shows("bob left");
    browser.check();
}

/// Somebody whose page says this of their devices joins without them.
fn sees_and_hears_without_devices(setup: Setup, told: &str) {
    let server = Server::start();
    let mut ann = Terminal::start(&server, "ann", "auto");
    let mut browser = Browser::start_with(setup);
    browser.open(&format!("{}/lobby", server.page()));
    browser.shows(told);
    browser.click("#join-go");
    sees_and_hears(&browser);
    ann.program
        .event_where("mute", |e| e["mic"] == true && e["camera"] == true);
    browser.check();
}

#[test]
fn who_refuses_camera_and_microphone_sees_and_hears_all_the_same() {
    let refuses = Setup {
        refuse: true,
        ..Setup::default()
    };
    sees_and_hears_without_devices(refuses, "may not be used");
}

#[test]
fn who_has_no_device_at_all_sees_and_hears_all_the_same() {
    let bare = Setup {
        bare: true,
        ..Setup::default()
    };
    sees_and_hears_without_devices(bare, "was found");
}

#[test]
fn a_page_without_tls_says_what_to_do_and_joins_without_devices() {
    let server = Server::start();
    let mut ann = Terminal::start(&server, "ann", "auto");
    let mut browser = Browser::start();
    let page = server.page().replacen("127.0.0.1", "plain.test", 1);
    let (_, port) = page.rsplit_once(':').expect("a port");
    // As it should be where there is no TLS; behind a proxy the server cannot tell.
    browser.expect_message("Cross-Origin-Opener-Policy header has been ignored");
    browser.open(&format!("{page}/lobby"));
    browser.shows("No camera and no microphone on this address");
    browser.shows("facetty serve --tls self-signed");
    browser.shows(&format!("ssh -L {port}:localhost:{port} plain.test"));
    browser.shows(&format!("http://localhost:{port}/lobby"));
    browser.click("#join-go");
    sees_and_hears(&browser);
    ann.program
        .event_where("mute", |e| e["mic"] == true && e["camera"] == true);
    browser.press("p");
    browser.shows("A screen can be shared by https or on localhost only.");
    browser.check();
}

#[test]
fn a_page_with_a_certificate_of_the_servers_own_making_has_camera_and_microphone() {
    let (home, folder) = (Folder::new(), Folder::new());
    let (server, certificate) = Server::secure(&home.path(""));
    let (clip, tone) = (folder.clip(), folder.tone());
    let ann = person(&server, "lobby", "ann", &["--camera", &clip, "--mic", &tone]);
    let mut ann = Program::start_with(&ann, "SSL_CERT_FILE", &certificate);
    ann.event("joined");
    let mut browser = Browser::start();
    let page = server.page().replacen("127.0.0.1", "plain.test", 1);
    browser.join(&page, "lobby", "Bea");
    sees_and_hears(&browser);
    ann.event_where("stats", |s| s["fps_in"].as_f64() > Some(5.0));
    browser.check();
}

#[test]
fn the_page_says_why_a_room_cannot_be_joined() {
    let server = Server::with("127.0.0.1:0", &["--max-peers", "2"]);
    let people = ["ann", "bob"].map(|name| Terminal::start(&server, name, "auto"));
    let mut browser = Browser::start();
    browser.join(&server.page(), "lobby", "Bea");
    browser.shows("This room is full");
    browser.shows("The room lobby is full: 2 people");
    browser.check();

    browser.expect_message("404");
    browser.open(&format!("{}/no%20room/at/all", server.page()));
    browser.shows("There is no such room");
    browser.click("a");
    browser.until(
        "the first page is shown",
        "return document.body.dataset.view === 'home'",
    );
    browser.click("#home-room");
    browser.press("other-room\u{e007}");
    browser.until(
        "the room's page is shown",
        "return location.pathname === '/other-room'",
    );
    browser.check();

    let older = "const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) { send.call(this, text.replace('\"version\":1', '\"version\":2')); }";
    browser.cdp(
        "Page.addScriptToEvaluateOnNewDocument",
        &json!({ "source": older }),
    );
    browser.join(&server.page(), "third", "Bea");
    browser.shows("This page is of another version than the server");
    browser.check();
    drop(people);
}

#[test]
#[allow(clippy::print_stderr)]
fn a_screen_reader_finds_its_way() {
    let axe = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/npm/node_modules/axe-core/axe.min.js"
    );
    let Ok(axe) = std::fs::read_to_string(axe) else {
        return eprintln!("skipped: no axe-core; .ci/setup test installs it where npm is");
    };
    let server = Server::start();
    let _ann = Terminal::start(&server, "ann", "auto");
    for light in [false, true] {
        let mut browser = Browser::start_with(Setup {
            light,
            ..Setup::default()
        });
        let finds = |what: &str| {
            browser.run(&axe, &[]);
            let found = browser.run("return (await axe.run()).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html + n.failureSummary)}`)", &[]);
            assert_eq!(found, json!([]), "{what}, light: {light}");
        };
        browser.open(&server.page());
        browser.until(
            "the first page is shown",
            "return document.body.dataset.view === 'home'",
        );
        finds("the first page");
        browser.open(&format!("{}/empty", server.page()));
        browser.until(
            "the camera is on",
            "return document.getElementById('join-video').videoWidth",
        );
        finds("before joining");
        browser.click("#join-go");
        browser.shows("You are alone in empty.");
        finds("alone");
        browser.join(&server.page(), "lobby", "Bea");
        browser.until(
            "ann is seen",
            "return document.querySelector('.tile.seen:not(.own) video')?.videoWidth",
        );
        browser.press("s");
        browser.press("c");
        browser.press("hi\u{e007}");
        finds("in a call, with chat and figures");
        browser.click("#bar-help");
        finds("help");
        browser.press("\u{e00c}");
        browser.click("#bar-devices");
        finds("devices");
        browser.press("\u{e00c}");
        browser.click("#bar-leave");
        browser.shows("You left");
        finds("the end");
        browser.check();
    }
}

#[test]
fn another_path_is_sought_and_the_call_goes_on() {
    let (_server, mut browser, mut ann) = met();
    let flows = |browser: &Browser| {
        let decoded = number(&browser.row("inbound-rtp", "video"), "framesDecoded");
        browser.row_where("inbound-rtp", "video", |row| {
            number(row, "framesDecoded") > decoded + 10.0
        });
    };
    browser.run(
        "window.user = () => /ice-ufrag:(.*)/.exec(connections[0].currentRemoteDescription.sdp)[1];
         window.before = user();
         connections[0].restartIce();",
        &[],
    );
    browser.until("ICE began anew", "return user() !== before");
    flows(&browser);

    // Nothing comes, and the browser asks for another path.
    ann.program.signal(Signal::STOP);
    browser.shows("the line is weak");
    ann.program.signal(Signal::CONT);
    browser.until(
        "the path is found",
        "return connections[0].connectionState === 'connected'",
    );
    flows(&browser);
    assert_eq!(browser.run("return connections.length", &[]), 1);
    ann.program
        .event_where("stats", |s| s["fps_in"].as_f64() > Some(5.0));
    browser.check();
}
