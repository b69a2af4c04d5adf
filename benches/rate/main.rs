//! What a line makes of a call: two people over a simulated line in simulated time, with the real codecs,
//! jitter buffer and bandwidth estimate. The same seed gives the same line.
//!
//! `make bench BENCH=rate`, of some stories with `ARGS="10%"`; with `ARGS=--series` what each second was
//! like. `--clip FILE.y4m` gives both a camera instead of the drawn head.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod head;
mod report;
#[path = "../../tests/support/speech.rs"]
#[allow(dead_code)]
mod speech;
mod stories;
#[path = "../../tests/sim/world/mod.rs"]
#[allow(dead_code)]
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use self::head::Clip;
use self::report::Report;
use self::stories::{Camera, Story, stories};
use self::world::World;
use facetty::media::video::VideoCodec;
use facetty::units::Size;

/// The camera of stories that do not need another.
const CAMERA: Size = Size::new(320, 180);

struct Args {
    series: bool,
    clip: Option<PathBuf>,
    names: Vec<String>,
}

fn main() {
    let mut args = Args {
        series: false,
        clip: None,
        names: Vec::new(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        match arg.as_str() {
            "--series" => args.series = true,
            "--clip" => args.clip = given.next().map(PathBuf::from),
            "--bench" => {}
            _ => args.names.push(arg),
        }
    }
    let said: Arc<[f32]> = speech::speech("en+m3", 0, 30).into();
    let file = args.clip.as_deref().map(head::clip);
    let mut clips = Clips {
        file: file.map(|clip| clip.unwrap_or_else(|why| panic!("{why}"))),
        drawn: Vec::new(),
    };
    println!("{}", Report::HEAD);
    for story in stories() {
        if !args.names.is_empty() && !args.names.iter().any(|name| story.name.contains(name.as_str())) {
            continue;
        }
        for seed in story.seeds.clone() {
            tell(&story, seed, &said, &mut clips, &args);
        }
    }
}

/// What cameras show, drawn once.
struct Clips {
    file: Option<Clip>,
    drawn: Vec<Clip>,
}

impl Clips {
    fn of(&mut self, camera: Camera) -> Clip {
        let size = match (&self.file, camera) {
            (Some(clip), Camera::Head) => return clip.clone(),
            (_, Camera::Of(size)) => size,
            (None, Camera::Head) => CAMERA,
        };
        if let Some(clip) = self.drawn.iter().find(|clip| clip[0].size() == size) {
            return clip.clone();
        }
        let clip = head::drawn(size);
        self.drawn.push(clip.clone());
        clip
    }
}

fn tell(story: &Story, seed: u64, said: &Arc<[f32]>, clips: &mut Clips, args: &Args) {
    let codecs = [VideoCodec::Vp9, VideoCodec::Vp8];
    let (first, _) = story.stages[0];
    let mut world = World::with(first.config(), seed, [&codecs, &codecs], story.limit);
    let clip = clips.of(story.camera);
    world.source = clip[0].size();
    for (side, from) in [(&mut world.a, 0), (&mut world.b, 100)] {
        let measured = world.source.fit_into(story.viewport);
        side.film_with(head::camera(clip.clone(), from), measured);
        side.talk(said.clone(), world.now);
    }
    world.viewport = story.viewport;
    world.meet();
    let mut ends = Vec::new();
    for (line, seconds) in &story.stages {
        if world.elapsed().as_secs() > 0 {
            world.set_line(line.config(), seed);
        }
        world.run(std::time::Duration::from_secs(*seconds));
        ends.push(world.elapsed());
    }
    let report = Report::of(story, seed, &world);
    if args.series {
        report.print_series(&world);
    }
    println!("{report}");
    for (what, fine) in (story.checks)(&report) {
        println!("    {} {what}", if fine { "ok  " } else { "MISS" });
    }
}
