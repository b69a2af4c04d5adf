//! What a frame costs: scaling, colours, comparison and bytes, beside ratatui's own drawing.
//!
//! `FACETTY_CLIP` names a Y4M file to use in place of the picture made here; its size is its own.
// Criterion's macros make public functions without a word.
#![allow(missing_docs)]

use std::cell::Cell;
use std::hint::black_box;
use std::io::{self, Write};
use std::rc::Rc;

use criterion::{Criterion, criterion_group, criterion_main};
use facetty::media::frame::I420;
use facetty::media::y4m::Reader;
use facetty::picture::{ColorDepth, Redraw, Screen};
use facetty::units::{CellRect, Cells, Size};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::{Terminal, TerminalOptions, Viewport};

const GRIDS: [Cells; 2] = [Cells::new(80, 24), Cells::new(200, 60)];
const CAMERA: Size = Size::new(640, 480);

fn picture(c: &mut Criterion) {
    let frames = frames();
    for grid in GRIDS {
        let area = CellRect::new(0, 0, grid.cols, grid.rows);
        let name = |what: &str| format!("{what}/{}x{}", grid.cols, grid.rows);
        for (what, redraw) in [("half", Redraw::default()), ("half exact", Redraw::EXACT)] {
            let mut screen = Screen::new(grid, ColorDepth::Truecolor);
            screen.set_redraw(redraw);
            let mut out = Vec::new();
            let mut next = frames.iter().cycle();
            let mut draw = |bytes: &mut usize| {
                let frame = next.next().expect("a cycle of at least one frame does not end");
                screen.picture(area, black_box(frame), false);
                out.clear();
                screen.encode(&mut out);
                *bytes += out.len();
            };
            draw(&mut 0);
            let mut bytes = 0;
            frames.iter().for_each(|_| draw(&mut bytes));
            report(&name(what), bytes / frames.len(), grid);
            c.bench_function(&name(what), |b| b.iter(|| draw(&mut bytes)));
        }
        let mut screen = Screen::new(grid, ColorDepth::Truecolor);
        let mut next = frames.iter().cycle();
        c.bench_function(&name("scale alone"), |b| {
            b.iter(|| {
                let frame = next.next().expect("a cycle of at least one frame does not end");
                screen.picture(area, black_box(frame), false);
            });
        });
        ratatui(c, &name("ratatui, without scaling"), grid);
    }
}

/// The same kind of picture, ready as cells, through `Terminal::draw`.
fn ratatui(c: &mut Criterion, name: &str, grid: Cells) {
    let area = Rect::new(0, 0, grid.cols, grid.rows);
    let options = TerminalOptions {
        viewport: Viewport::Fixed(area),
    };
    let count = Rc::new(Cell::new(0));
    let backend = CrosstermBackend::new(Counter(Rc::clone(&count)));
    let mut terminal = Terminal::with_options(backend, options).expect("a counter cannot fail");
    let grids: Vec<I420> = (0..FRAMES).map(|i| made(grid.pixels(), i)).collect();
    let mut next = grids.iter().cycle();
    let mut draw = |terminal: &mut Terminal<CrosstermBackend<Counter>>| {
        let frame = next.next().expect("a cycle of at least one frame does not end");
        let [luma, ..] = frame.planes();
        let drawn = terminal.draw(|f| {
            for (i, cell) in f.buffer_mut().content.iter_mut().enumerate() {
                let (x, y) = (i % usize::from(grid.cols), i / usize::from(grid.cols));
                let at = |y: usize| luma.data[y * luma.stride + x];
                let grey = |v: u8| Color::Rgb(v, v ^ 1, v);
                cell.set_char('▀')
                    .set_fg(grey(at(2 * y)))
                    .set_bg(grey(at(2 * y + 1)));
            }
        });
        drawn.expect("a counter cannot fail");
    };
    draw(&mut terminal);
    count.set(0);
    grids.iter().for_each(|_| draw(&mut terminal));
    report(name, count.get() / FRAMES, grid);
    c.bench_function(name, |b| {
        b.iter(|| draw(&mut terminal));
    });
}

#[allow(clippy::print_stderr)]
fn report(name: &str, bytes: usize, grid: Cells) {
    let cells = usize::from(grid.cols) * usize::from(grid.rows);
    eprintln!(
        "{name}: {bytes} bytes a frame, {:.1} a cell",
        bytes as f64 / cells as f64
    );
}

/// Counts bytes.
struct Counter(Rc<Cell<usize>>);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const FRAMES: usize = 32;

fn frames() -> Vec<I420> {
    let Some(path) = std::env::var_os("FACETTY_CLIP") else {
        return (0..FRAMES).map(|i| made(CAMERA, i)).collect();
    };
    let file = std::fs::File::open(&path).expect("FACETTY_CLIP names a file that can be read");
    let mut reader = Reader::new(std::io::BufReader::new(file)).expect("FACETTY_CLIP is a Y4M file");
    let mut frames = Vec::new();
    let mut frame = I420::default();
    while reader.read(&mut frame).expect("FACETTY_CLIP is whole") {
        frames.push(frame.clone());
    }
    assert!(!frames.is_empty(), "FACETTY_CLIP has no frame");
    frames
}

/// Slopes that move, a disc that moves against them, and a sensor's noise.
fn made(size: Size, frame: usize) -> I420 {
    let mut picture = I420::new(size);
    let (width, height) = (size.width as usize, size.height as usize);
    let mut state = (frame as u32).wrapping_mul(2_654_435_761) + 1;
    for (index, plane) in picture.planes_mut().into_iter().enumerate() {
        let width = if index == 0 { width } else { width.div_ceil(2) };
        let height = if index == 0 { height } else { height.div_ceil(2) };
        let (cx, cy) = (width * (32 + frame) / 96, height / 2);
        for (i, sample) in plane.iter_mut().enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 24) % 7;
            let (x, y) = (i % width, i / width);
            let is_disc = x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2) < (height / 4).pow(2);
            let slope = 40 + x * 90 / width + y * 40 / height + frame / 2;
            *sample = (slope + if is_disc { 40 } else { 0 }) as u8 + noise as u8;
        }
    }
    picture
}

criterion_group!(benches, picture);
criterion_main!(benches);
