//! `facetty play` as others run it: a stream of frames out, and clear words about what is no clip.

mod support;

use std::process::{Output, Stdio};

use facetty::units::Size;
use support::files;
use support::program::command;

const CLIP: Size = Size::new(66, 50);
const FRAMES: u32 = 12;
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

fn play(args: &[&str]) -> Output {
    let args = [&["play"], args].concat();
    let mut command = command(&args);
    command
        .stdin(Stdio::null())
        .output()
        .expect("the program was built beside this test")
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}

fn clip(folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("clip.y4m");
    files::write_stamped_clip(&path, CLIP, FRAMES);
    path.display().to_string()
}

#[test]
fn each_picture_is_a_frame_of_its_own_at_every_size() {
    let folder = tempfile::tempdir().expect("there is room");
    let clip = clip(&folder);
    for size in ["80x24", "1x1", "33x11", "2x1", "500x200"] {
        for render in ["half", "quadrant", "sextant", "octant", "ascii"] {
            let output = play(&[&clip, "--unpaced", "--size", size, "--render", render]);
            assert!(output.status.success(), "{size} {render}: {output:?}");
            let frames = (count(&output.stdout, BEGIN), count(&output.stdout, END));
            assert_eq!(frames, (FRAMES as usize, FRAMES as usize), "{size} {render}");
            assert!(output.stdout.starts_with(BEGIN) && output.stdout.ends_with(END));
            let figures = String::from_utf8_lossy(&output.stderr);
            assert!(figures.starts_with("12 pictures read, 12 shown"), "{figures}");
        }
    }
}

#[test]
fn colours_are_those_that_were_asked_for() {
    let folder = tempfile::tempdir().expect("there is room");
    let clip = clip(&folder);
    for (color, has, has_not) in [
        ("truecolor", Some(&b"38;2;"[..]), None),
        ("256", Some(b"38;5;"), Some(&b"38;2;"[..])),
        ("16", None, Some(b"38;")),
        ("mono", None, Some(b"38;")),
    ] {
        let stream = play(&[&clip, "--unpaced", "--color", color]).stdout;
        assert!(has.is_none_or(|part| count(&stream, part) > 0), "{color}");
        assert!(has_not.is_none_or(|part| count(&stream, part) == 0), "{color}");
    }
}

#[test]
fn what_cannot_be_played_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().expect("there is room");
    let good = std::fs::read(clip(&folder)).expect("it was just written");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        files::write(&path, bytes);
        path.display().to_string()
    };
    let header = |header: &str| format!("YUV4MPEG2 {header}\nFRAME\n").into_bytes();
    for (path, status, said) in [
        (
            file("cut.y4m", &good[..good.len() - 100]),
            1,
            "the input ends in the middle of picture 12",
        ),
        (file("empty.y4m", b""), 1, "it is not YUV4MPEG2"),
        (
            file("sizeless.y4m", &header("H48 F30:1")),
            1,
            "the picture's width is missing",
        ),
        (file("small.y4m", &header("W1 H1 F30:1")), 1, "not in 16 to 8192"),
        (
            file("huge.y4m", &header("W99999999999 H48")),
            1,
            "not in 16 to 8192",
        ),
        (
            file("colour.y4m", &header("W64 H48 C411")),
            1,
            "C411 is not supported (convert with",
        ),
        (
            file("rate.y4m", &header("W64 H48 F30:0")),
            1,
            "the header's rate F30:0 is not usable",
        ),
        (
            file("frameless.y4m", b"YUV4MPEG2 W64 H48\nnothing\n"),
            1,
            "does not begin with FRAME",
        ),
        (
            file("text.txt", b"hello"),
            1,
            "PNG, JPEG, WebP, GIF and BMP are read",
        ),
        (
            folder.path().join("missing").display().to_string(),
            1,
            "check the path",
        ),
    ] {
        let output = play(&[&path, "--unpaced"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{path}: {text}");
        assert!(text.contains(said), "{path}: {text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.starts_with("facetty: "), "{text}");
    }
    for args in [
        &["clip.y4m", "--size", "0x5"][..],
        &["clip.y4m", "--size", "80"],
        &["clip.y4m", "--size", "99999x1"],
        &["clip.y4m", "--render", "braille"],
        &["clip.y4m", "--output-rate", "0"],
        &[],
    ] {
        assert_eq!(play(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(play(&["-", "--loop"]).status.code(), Some(1));
}

#[test]
fn a_still_picture_is_one_frame() {
    let output = play(&[".assets/call.png", "--size", "40x12"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(count(&output.stdout, END), 1);
    // The whole of it, whatever it takes.
    let output = play(&[".assets/call.png", "--size", "40x12", "--render", "ascii"]);
    let mut terminal = vt100::Parser::new(12, 40, 0);
    terminal.process(&output.stdout);
    let is_lit = |x: u16, y: u16| {
        let cell = terminal.screen().cell(y, x);
        cell.is_some_and(|cell| cell.bgcolor() != vt100::Color::Default)
    };
    for y in 1..11 {
        let lit = (0..40).filter(|&x| is_lit(x, y)).count();
        assert!(lit > 20, "row {y}: {lit}");
    }
}
