//! Other programs that draw pictures with characters, where they are installed.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use facetty::media::frame::I420;
use facetty::units::{Cells, Size};

use super::clips::{self, Clip};

/// What a program took.
pub struct Peer {
    pub name: &'static str,
    /// Microseconds of CPU a frame, user and system, without what it takes to read the picture where
    /// that can be told.
    pub cpu: f64,
    /// Bytes a frame.
    pub bytes: f64,
    /// The stream of the first picture alone, where it is to be had.
    pub still: Option<Vec<u8>>,
}

/// The shape of both grids, so that no program leaves an edge: a fifth fewer pixels than ours reads.
const SHAPE: Size = Size::new(640, 384);

pub fn all(clip: &Clip, grid: Cells) -> Vec<Peer> {
    let folder = tempfile::tempdir().expect("a folder for temporary files can be made");
    let frames: Vec<I420> = clip.frames.iter().map(|f| clips::scaled(f, SHAPE)).collect();
    let movie = folder.path().join("clip.y4m");
    y4m(&movie, &frames);
    let picture = folder.path().join("picture.png");
    png(&picture, &frames[0]);
    let size = format!("{}x{}", grid.cols, grid.rows);
    let count = frames.len() as f64;
    let mut peers = Vec::new();

    for (name, symbols) in [
        ("chafa half", "half"),
        ("chafa sextant", "sextant"),
        ("chafa its best blocks", "half+quad+sextant+block+space"),
    ] {
        let run = |size: &str| {
            let arguments = [
                "--format",
                "symbols",
                "--colors",
                "full",
                "--threads",
                "1",
                "-O",
                "5",
            ];
            let rest = ["--stretch", "--symbols", symbols, "--size", size];
            run("chafa", arguments.iter().chain(&rest), &[&picture])
        };
        if let (Some((cpu, stream)), Some((least, _))) = (run(&size), run("1x1")) {
            peers.push(Peer {
                name,
                cpu: cpu - least,
                bytes: stream.len() as f64,
                still: Some(stream),
            });
        }
    }

    // With what it takes to read the clip: timg scales even what it does not show, so nothing that it
    // does is a measure of reading alone.
    for (name, how) in [
        ("timg half, and reading", "-ph"),
        ("timg quarter, and reading", "-pq"),
    ] {
        if let Some((cpu, stream)) = run("timg", [how, &format!("-g{size}")].iter(), &[&movie]) {
            peers.push(Peer {
                name,
                cpu: cpu / count,
                bytes: stream.len() as f64 / count,
                still: None,
            });
        }
    }

    let (width, height) = (
        format!("--vo-tct-width={}", grid.cols),
        format!("--vo-tct-height={}", grid.rows),
    );
    let run = |out: &str| {
        let common = ["--no-config", "--no-audio", "--untimed", "--really-quiet"];
        let rest = [&width, &height, "--vo-tct-algo=half-blocks", out];
        run("mpv", common.iter().chain(&rest), &[&movie])
    };
    if let (Some((cpu, stream)), Some((least, _))) = (run("--vo=tct"), run("--vo=null")) {
        peers.push(Peer {
            name: "mpv tct",
            cpu: (cpu - least) / count,
            bytes: stream.len() as f64 / count,
            still: None,
        });
    }
    peers
}

/// Runs a program: its CPU in microseconds (the least of three times) and what it wrote, or `None`
/// where there is no such program or it fails.
fn run<'a>(
    program: &str,
    arguments: impl Iterator<Item = &'a &'a str> + Clone,
    files: &[&Path],
) -> Option<(f64, Vec<u8>)> {
    let mut best: Option<(f64, Vec<u8>)> = None;
    for _ in 0..3 {
        // Bash tells a child's CPU to the millisecond.
        let output = Command::new("bash")
            .args([
                "-c",
                "TIMEFORMAT='%3U %3S'; time \"$@\" 2>/dev/null",
                "time",
                program,
            ])
            .args(arguments.clone())
            .args(files)
            .env("COLORTERM", "truecolor")
            .env("TERM", "xterm-256color")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        if !output.status.success() || output.stdout.is_empty() && program != "mpv" {
            return None;
        }
        let times = String::from_utf8(output.stderr).ok()?;
        let seconds: f64 = times
            .split_whitespace()
            .filter_map(|t| t.parse::<f64>().ok())
            .sum();
        let is_better = best.as_ref().is_none_or(|(cpu, _)| seconds * 1e6 < *cpu);
        if is_better {
            best = Some((seconds * 1e6, output.stdout));
        }
    }
    best
}

fn y4m(path: &Path, frames: &[I420]) {
    let mut file = File::create(path).expect("the folder can be written to");
    let header = format!(
        "YUV4MPEG2 W{} H{} F30:1 Ip A1:1 C420mpeg2\n",
        SHAPE.width, SHAPE.height
    );
    file.write_all(header.as_bytes())
        .expect("there is room for a clip");
    for frame in frames {
        file.write_all(b"FRAME\n").expect("there is room for a clip");
        file.write_all(frame.bytes()).expect("there is room for a clip");
    }
}

fn png(path: &Path, picture: &I420) {
    let rgb = clips::reference(picture, picture.size());
    let bytes = rgb.into_iter().map(|c| (c + 0.5) as u8).collect();
    let image = image::RgbImage::from_raw(SHAPE.width, SHAPE.height, bytes);
    let image = image.expect("three bytes a pixel");
    image.save(path).expect("the folder can be written to");
}
