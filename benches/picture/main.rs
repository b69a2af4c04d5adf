//! What a frame costs and how good it is: CPU, bytes and decibels of ours, ratatui's drawing and what
//! else is installed of chafa, timg and mpv, in one run, one thread each, from pictures of 640x480.
//!
//! `make bench BENCH=picture ARGS="--clip talk.y4m"` adds a clip to those that are made here.
//! Decibels are of the escape stream, drawn with 8x16 pixels a cell, against the picture at that size.
#![allow(clippy::print_stdout)]

mod clips;
mod peers;
mod raster;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use facetty::picture::{ColorDepth, Glyphs, Redraw, Screen};
use facetty::units::{CellRect, Cells, Size};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::{Terminal, TerminalOptions, Viewport};

use clips::Clip;
use raster::psnr;

const GRIDS: [Cells; 2] = [Cells::new(80, 24), Cells::new(200, 60)];
/// Frames whose quality is measured: once the first was refined.
const MEASURED: std::ops::Range<usize> = 5..31;
/// Pictures that are measured as stills.
const STILLS: [usize; 3] = [0, 25, 50];
/// Times that each is run; the fastest counts, as others compute on the machine too.
const PASSES: usize = 5;

fn main() {
    let mut clips = vec![clips::still(), clips::motion()];
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--clip", Some(path)) => clips.insert(0, clips::file(&path)),
            _ => {
                println!("usage: make bench BENCH=picture ARGS=\"--clip FILE.y4m\"");
                std::process::exit(2);
            }
        }
    }
    println!(
        "load: {}",
        std::fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .trim()
    );
    for grid in GRIDS {
        for clip in &clips {
            println!("\n{} on {}x{}", clip.name, grid.cols, grid.rows);
            println!(
                "{:28}{:>10} {:>9} {:>9} {:>9}",
                "", "us/frame", "B/cell", "dB", "still dB"
            );
            show(clip, grid);
        }
    }
}

fn show(clip: &Clip, grid: Cells) {
    let references = References::new(clip, grid);
    let ours = |glyphs: Glyphs, redraw: Redraw| ours(clip, grid, glyphs, redraw, &references);
    let half = ours(Glyphs::Half, Redraw::default());
    let ratatui = ratatui(clip, grid, &references);
    half.print("facetty half");
    for glyphs in [Glyphs::Quadrant, Glyphs::Sextant, Glyphs::Octant] {
        ours(glyphs, Redraw::default()).print(&format!("facetty {glyphs}"));
    }
    ours(Glyphs::Half, Redraw::EXACT).print("facetty half, all changes");
    ratatui.print("ratatui draw, half, unscaled");
    println!(
        "{:28}{:>9.2}x {:>8.2}x",
        "  half to ratatui",
        half.cpu / ratatui.cpu,
        half.bytes / ratatui.bytes
    );
    for peer in peers::all(clip, grid) {
        let still = peer.still.as_ref().map(|stream| references.still_of(0, stream));
        let figures = Figures {
            cpu: peer.cpu,
            bytes: peer.bytes / cells(grid),
            db: None,
            still,
        };
        figures.print(peer.name);
        println!("{:28}{:>9.2}x", "  half to it", half.cpu / peer.cpu);
    }
}

fn cells(grid: Cells) -> f64 {
    f64::from(grid.cols) * f64::from(grid.rows)
}

/// What is measured.
struct Figures {
    /// Microseconds of CPU a frame.
    cpu: f64,
    /// Bytes a cell and frame, the first frame apart.
    bytes: f64,
    /// Of the stream.
    db: Option<f64>,
    /// Of pictures shown alone, without a budget.
    still: Option<f64>,
}

impl Figures {
    fn print(&self, name: &str) {
        let db = |db: Option<f64>| db.map_or("-".to_owned(), |db| format!("{db:.2}"));
        let Self { cpu, bytes, .. } = self;
        println!(
            "{name:28}{cpu:>10.0} {bytes:>9.2} {:>9} {:>9}",
            db(self.db),
            db(self.still)
        );
    }
}

/// The pictures as a terminal should show them.
struct References {
    grid: Cells,
    moving: Vec<Vec<f32>>,
    stills: Vec<Vec<f32>>,
}

impl References {
    fn new(clip: &Clip, grid: Cells) -> Self {
        let size = Size::new(
            u32::from(grid.cols) * raster::CELL.0 as u32,
            u32::from(grid.rows) * raster::CELL.1 as u32,
        );
        let of = |i: usize| clips::reference(&clip.frames[i % clip.frames.len()], size);
        Self {
            grid,
            moving: MEASURED.map(of).collect(),
            stills: STILLS.map(of).to_vec(),
        }
    }

    fn terminal(&self) -> raster::Terminal {
        raster::Terminal::new(usize::from(self.grid.cols), usize::from(self.grid.rows))
    }

    /// Of one still, shown by a stream that begins on an empty screen.
    fn still_of(&self, index: usize, stream: &[u8]) -> f64 {
        let mut terminal = self.terminal();
        terminal.feed(stream);
        psnr(&terminal.raster(), &self.stills[index])
    }

    /// The mean over the measured frames of what `frame` shows one after the other.
    fn moving_of(&self, mut frame: impl FnMut(usize, &mut Vec<u8>)) -> f64 {
        let mut terminal = self.terminal();
        let mut out = Vec::new();
        let mut sum = 0.0;
        for i in 0..MEASURED.end {
            out.clear();
            frame(i, &mut out);
            terminal.feed(&out);
            if let Some(reference) = i.checked_sub(MEASURED.start) {
                sum += psnr(&terminal.raster(), &self.moving[reference]);
            }
        }
        sum / MEASURED.len() as f64
    }
}

fn ours(clip: &Clip, grid: Cells, glyphs: Glyphs, redraw: Redraw, references: &References) -> Figures {
    let area = CellRect::new(0, 0, grid.cols, grid.rows);
    let new = |redraw: Redraw| {
        let mut screen = Screen::new(grid, ColorDepth::Truecolor);
        screen.set_glyphs(glyphs);
        screen.set_redraw(redraw);
        screen
    };
    let show = |screen: &mut Screen, i: usize, out: &mut Vec<u8>| {
        screen.fill(area, &clip.frames[i % clip.frames.len()], false);
        screen.encode(out);
    };
    let mut screen = new(redraw);
    let db = references.moving_of(|i, out| show(&mut screen, i, out));
    let stills = STILLS.iter().enumerate().map(|(index, &i)| {
        let mut out = Vec::new();
        show(&mut new(Redraw::EXACT), i, &mut out);
        references.still_of(index, &out)
    });
    let still = stills.sum::<f64>() / STILLS.len() as f64;

    let mut screen = new(redraw);
    let mut out = Vec::new();
    show(&mut screen, 0, &mut out);
    let mut bytes = 0;
    let frames = clip.frames.len();
    // As it comes from a decoder: just written, to where the one before was.
    let mut decoded = clip.frames[0].clone();
    let passes = (0..PASSES).map(|pass| {
        let mut spent = 0.0;
        for frame in &clip.frames {
            decoded.bytes_mut().copy_from_slice(frame.bytes());
            out.clear();
            let begun = cpu();
            screen.fill(area, &decoded, false);
            screen.encode(&mut out);
            spent += cpu() - begun;
            if pass == 0 {
                bytes += out.len();
            }
        }
        spent / frames as f64
    });
    let cpu = passes.fold(f64::INFINITY, f64::min);
    Figures {
        cpu,
        bytes: bytes as f64 / frames as f64 / cells(grid),
        db: Some(db),
        still: Some(still),
    }
}

/// The same pictures, ready as colours of half blocks, through `Terminal::draw`.
fn ratatui(clip: &Clip, grid: Cells, references: &References) -> Figures {
    let half = |picture| {
        let rgb = clips::reference(picture, grid.pixels());
        let cols = usize::from(grid.cols);
        let pixel = |x: usize, y: usize| {
            let at = (y * cols + x) * 3;
            let [r, g, b] = [0, 1, 2].map(|c| (rgb[at + c] + 0.5) as u8);
            Color::Rgb(r, g, b)
        };
        let count = cols * usize::from(grid.rows);
        let cells = (0..count).map(|i| (i % cols, i / cols));
        cells
            .map(|(x, y)| (pixel(x, y * 2), pixel(x, y * 2 + 1)))
            .collect::<Vec<_>>()
    };
    let pictures: Vec<Vec<(Color, Color)>> = clip.frames.iter().map(half).collect();
    let written = Rc::new(RefCell::new(Vec::new()));
    let mut terminal = terminal(grid, &written);
    let show = |terminal: &mut Terminal<CrosstermBackend<Shared>>, i: usize| {
        let picture = &pictures[i % pictures.len()];
        terminal
            .draw(|frame| {
                for (cell, &(upper, lower)) in frame.buffer_mut().content.iter_mut().zip(picture) {
                    cell.set_char('▀').set_fg(upper).set_bg(lower);
                }
            })
            .expect("a buffer takes everything");
    };
    let db = references.moving_of(|i, out| {
        written.borrow_mut().clear();
        show(&mut terminal, i);
        out.extend_from_slice(&written.borrow());
    });
    written.borrow_mut().clear();
    let frames = pictures.len();
    let mut bytes = 0;
    let passes = (0..PASSES).map(|pass| {
        let mut spent = 0.0;
        for i in 0..frames {
            written.borrow_mut().clear();
            let begun = cpu();
            show(&mut terminal, i);
            spent += cpu() - begun;
            if pass == 0 {
                bytes += written.borrow().len();
            }
        }
        spent / frames as f64
    });
    let cpu = passes.fold(f64::INFINITY, f64::min);
    Figures {
        cpu,
        bytes: bytes as f64 / frames as f64 / cells(grid),
        db: Some(db),
        still: None,
    }
}

fn terminal(grid: Cells, written: &Rc<RefCell<Vec<u8>>>) -> Terminal<CrosstermBackend<Shared>> {
    let options = TerminalOptions {
        viewport: Viewport::Fixed(Rect::new(0, 0, grid.cols, grid.rows)),
    };
    let backend = CrosstermBackend::new(Shared(Rc::clone(written)));
    Terminal::with_options(backend, options).expect("a buffer takes everything")
}

/// Keeps what is written.
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Microseconds of CPU that this thread took.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
