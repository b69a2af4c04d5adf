//! A real camera driver: pictures, colours, unplugging and coming back, in a virtual machine whose
//! `/dev/video0` is the kernel's vivid (`tests/camera.sh`).
#![cfg(all(feature = "camera", target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::print_stderr)]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use facetty::io::source::{self as sources, CameraSource, SourceEvent};
use facetty::io::{camera as cameras, clock, slot};
use facetty::media::frame::I420;
use support::files;
use support::program::{Program, Server, person, source};
use tokio::sync::mpsc;

/// For each thing that is waited for; the machine may be emulated.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `tests/camera.sh` answers where no machine can be had.
const SKIPPED: i32 = 77;

#[test]
fn a_camera_is_seen_unplugged_and_taken_again_and_a_call_with_it_goes_on() {
    let this = std::env::current_exe().expect("a test is a program");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/camera.sh");
    let output = Command::new("bash")
        .arg(script)
        .arg(this)
        .args([
            "--ignored",
            "inside_the_machine",
            "--nocapture",
            "--test-threads=1",
        ])
        .output()
        .expect("bash");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match output.status.code() {
        Some(0) => assert!(said[0].contains("2 passed"), "{}\n{}", said[0], said[1]),
        Some(SKIPPED) => eprintln!("skipped, no virtual machine: {}", said[1].trim()),
        other => panic!("{other:?}\n{}\n{}", said[0], said[1]),
    }
}

#[test]
#[ignore = "runs inside the virtual machine"]
fn inside_the_machine() {
    let found = cameras::list();
    assert!(
        matches!(&found[..], [(0, name)] if name.contains("vivid")),
        "{found:?}"
    );

    let pictures = slot::Slot::new(slot::unpark(std::thread::current()));
    let (sender, mut events) = mpsc::channel(8);
    let outputs = vec![Arc::clone(&pictures)];
    let camera =
        sources::start(CameraSource::Auto, true, 30, outputs, sender).expect("a camera needs no file");

    let first = event(&mut events);
    let Some(SourceEvent::Ready { name, size }) = first else {
        panic!("{first:?}")
    };
    assert!(name.contains("vivid"), "{name}");
    assert!(
        (320..=1280).contains(&size.width) && size.height >= 180,
        "{size:?}"
    );
    for _ in 0..10 {
        let picture = picture(&pictures);
        assert_eq!(picture.size(), size);
        assert_bars(&picture);
    }

    // Off, the device is closed; on, it is opened again.
    camera.set_on(false);
    wait("the device is closed", || holders() == 0);
    assert_eq!(events.try_recv().ok(), None);
    pictures.take();
    camera.set_on(true);
    assert_bars(&picture(&pictures));
    assert_eq!(holders(), 1);

    unplug();
    let lost = event(&mut events);
    assert!(matches!(lost, Some(SourceEvent::Lost(_))), "{lost:?}");
    wait("the dead device is let go", || holders() == 0);
    driver("unbind");

    // And plugged in again.
    driver("bind");
    pictures.take();
    assert!(matches!(event(&mut events), Some(SourceEvent::Back { .. })));
    assert_bars(&picture(&pictures));

    drop(camera);
    assert_eq!(event(&mut events), None, "nothing more, and the thread has ended");
    wait("the device is closed", || holders() == 0);
}

/// The whole program: the other one's file holds the camera's picture, before and after it was
/// unplugged.
#[test]
#[ignore = "runs inside the virtual machine"]
fn inside_the_machine_a_person_sends_the_camera() {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let seen = folder.path().join("seen.y4m");
    let server = Server::start();
    let mut ann = Program::start(&person(&server, "lobby", "ann", &["--camera", "auto"]));
    ann.event("joined");
    let screen = source("y4m", &seen);
    let mut bob = Program::start(&person(&server, "lobby", "bob", &["--screen", &screen]));
    bob.event("first-frame");
    let flows = |stats: &serde_json::Value| stats["fps_in"].as_f64() > Some(0.0);
    bob.event_where("stats", flows);

    unplug();
    let error = ann.event("error");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("camera"), "{error}");
    // The driver gives the device back to the next who opens it: pictures of later seconds are new.
    bob.events();
    for _ in 0..4 {
        bob.event_where("stats", flows);
    }

    assert_eq!(bob.leave().code, Some(0));
    assert_eq!(ann.leave().code, Some(0));
    let pictures = files::read_clip(&seen);
    assert!(pictures.len() > 5, "{} pictures", pictures.len());
    for picture in [&pictures[0], pictures.last().expect("some")] {
        assert_bars(picture);
    }
}

/// The eight bars at three quarters, left to right: Y, U and V in BT.601, limited range.
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];

fn assert_bars(picture: &I420) {
    for (bar, expected) in BARS.into_iter().enumerate() {
        let shown = picture.planes().map(|plane| {
            let (x, y) = ((2 * bar + 1) * plane.width / 16, plane.height * 5 / 8);
            plane.data[y * plane.stride + x]
        });
        let off = shown
            .iter()
            .zip(expected)
            .any(|(shown, expected)| shown.abs_diff(expected) > 12);
        assert!(!off, "bar {bar} is {shown:?} instead of {expected:?}");
    }
}

fn picture(pictures: &slot::Slot<I420>) -> Arc<I420> {
    let deadline = clock::now() + PATIENCE;
    loop {
        if let Some(picture) = pictures.take() {
            return picture;
        }
        assert!(clock::now() < deadline, "no picture came");
        std::thread::park_timeout(PATIENCE);
    }
}

fn event(events: &mut mpsc::Receiver<SourceEvent>) -> Option<SourceEvent> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let event = async { tokio::time::timeout(PATIENCE, events.recv()).await };
    runtime.block_on(event).expect("an event in time")
}

fn unplug() {
    let unplug = Command::new("v4l2-ctl")
        .args(["-d", "/dev/video0", "-c", "disconnect=1"])
        .status();
    assert!(unplug.expect("v4l2-ctl").success());
}

/// How many of this process's files are the camera.
fn holders() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").expect("Linux");
    let is_camera = |link: &std::path::Path| link.to_string_lossy().starts_with("/dev/video");
    let links = files
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| is_camera(link)).count()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = clock::now() + PATIENCE;
    while !done() {
        assert!(clock::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Takes vivid's device away from its driver, or gives it back.
fn driver(what: &str) {
    let path = format!("/sys/bus/platform/drivers/vivid/{what}");
    std::fs::write(path, "vivid.0").expect("root in a machine with vivid");
}
