//! The terminal: what it says of itself, and how fast it takes what is written.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::report::{Check, Finding, Verdict};
use crate::io::clock;
use crate::io::screen::ask_tmux;
use crate::io::screen::known::{self, Known, is_nested};
use crate::io::terminal::input::Reply;
use crate::io::terminal::{self, Terminal};
use crate::picture::{ColorDepth, Glyphs, RenderMode};
use crate::text::SafeText;
use crate::ui::layout::is_too_small;
use crate::units::Cells;

/// Every terminal answers what it is within this time, over any line that can carry a call.
const ANSWERS_WITHIN: Duration = Duration::from_millis(1500);

/// So much is written to find out how fast it is: half of it takes a slow line most of a second.
const PIECES: [usize; 3] = [4 * 1024, 32 * 1024, 128 * 1024];

/// A piece that takes so long is measured well enough.
const ENOUGH: Duration = Duration::from_millis(60);

/// A terminal below this, in bytes a second, shows a coarse picture at 80x24.
const SLOW: f64 = 60_000.0;

/// Answers that may wait: more than are asked for.
const REPLIES: usize = 16;

/// Asks whether synchronized updates are known (DECRQM), and who it is (DA1).
const LAST: &[u8] = b"\x1b[?2026$p\x1b[c";

/// What is known of a terminal.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    size: Cells,
    depth: ColorDepth,
    /// The environment asks for no colours.
    is_no_color: bool,
    /// What it calls itself.
    name: Option<String>,
    glyphs: Glyphs,
    graphics: Option<RenderMode>,
    /// tmux or screen stands between.
    is_nested: bool,
    is_synchronized: bool,
    answers: bool,
    /// Bytes a second; `None`: it did not say when they had arrived.
    rate: Option<f64>,
}

/// Checks the terminal that standard output is.
pub(super) async fn check(depth: Option<ColorDepth>) -> Vec<Finding> {
    if !io::stdout().is_terminal() {
        let message = "standard output is no terminal, so nothing is known of one";
        let remedy = "run facetty doctor where calls are to be seen; without a terminal, --headless";
        return vec![Finding::warning(Check::Terminal, message, remedy)];
    }
    let get = |name: &str| std::env::var(name).ok();
    if get("TERM").is_some_and(|term| term == "dumb") {
        let message = "TERM is dumb: the cursor cannot be moved, so nothing can be drawn";
        let remedy = "use another terminal (or correct TERM), or --headless";
        return vec![Finding::failure(Check::Terminal, message, remedy)];
    }
    match ask(depth).await {
        Ok(facts) => judge(&facts),
        Err(why) => vec![Finding::failure(
            Check::Terminal,
            why,
            "use another terminal, or --headless",
        )],
    }
}

async fn ask(depth: Option<ColorDepth>) -> Result<Facts, String> {
    let get = |name: &str| std::env::var(name).ok();
    let (tx, mut replies) = mpsc::channel(REPLIES);
    let terminal = Terminal::ask().map_err(|error| error.to_string())?;
    // Dropped with this function: the terminal is given back by then.
    let _keys = terminal
        .read_keys(move |reply, at| {
            // Answers to nothing find no room, and no ear.
            let _ = tx.try_send((reply, at));
        })
        .map_err(|error| error.to_string())?;
    let is_nested = is_nested(get);
    let mut questions = Vec::new();
    known::ask(get, &mut questions);
    questions.extend_from_slice(LAST);
    let mut known = Known::default();
    let (mut name, mut is_synchronized) = (None, false);
    let asked = async {
        write(questions).await?;
        while let Some((reply, _)) = replies.recv().await {
            known.learn(&reply);
            match reply {
                Reply::Version(version) => name = Some(version),
                Reply::Synchronized(known) => is_synchronized = known,
                Reply::Attributes { .. } => return Ok(()),
                _ => {}
            }
        }
        Err("it was closed".to_owned())
    };
    let answers = match timeout(ANSWERS_WITHIN, asked).await {
        Ok(asked) => asked.map(|()| true)?,
        Err(_) => false,
    };
    let (told, tmux) = oneshot::channel();
    ask_tmux(get, move |truecolor| {
        let _ = told.send(truecolor);
    });
    if let Ok(Ok(truecolor)) = timeout(ANSWERS_WITHIN, tmux).await {
        known.learn(&Reply::Colours { truecolor });
    }
    let size = terminal.size();
    let mut facts = Facts {
        size,
        depth: depth.unwrap_or_else(|| known.depth(get)),
        is_no_color: get("NO_COLOR").is_some_and(|value| !value.is_empty()),
        name,
        glyphs: known.glyphs(get),
        graphics: Some(known.best(get)).filter(|mode| !matches!(mode, RenderMode::Glyphs(_))),
        is_nested,
        is_synchronized,
        answers,
        rate: None,
    };
    if answers {
        facts.rate = rate(&facts, &mut replies).await?;
    }
    Ok(facts)
}

/// Writes pictures of one line, larger ones while they are taken fast, and waits for each to have arrived.
async fn rate(facts: &Facts, replies: &mut mpsc::Receiver<(Reply, Instant)>) -> Result<Option<f64>, String> {
    let mut rate = None;
    for length in PIECES {
        let piece = picture(facts, length);
        let (begin, bytes) = (clock::now(), piece.len());
        let arrived = async {
            write(piece).await?;
            loop {
                match replies.recv().await {
                    Some((Reply::Status, at)) => return Ok::<_, String>(at),
                    Some(_) => {}
                    None => return Err("it was closed".to_owned()),
                }
            }
        };
        let Ok(arrived) = timeout(ANSWERS_WITHIN, arrived).await else {
            break;
        };
        let took = arrived?.saturating_duration_since(begin);
        rate = Some(bytes as f64 / took.as_secs_f64().max(1e-6));
        if took >= ENOUGH {
            break;
        }
    }
    Ok(rate)
}

/// About so many bytes of what pictures are made of, drawn over each other in one line that is wiped
/// again, in one synchronized update; and the question whether they have arrived.
fn picture(facts: &Facts, length: usize) -> Vec<u8> {
    let mut bytes = b"\x1b[?2026h\x1b[?7l".to_vec();
    let cols = facts.size.cols.saturating_sub(1).max(1);
    let mut shade: u8 = 0;
    while bytes.len() < length {
        bytes.push(b'\r');
        for _ in 0..cols {
            shade = shade.wrapping_add(37);
            let cell = match facts.depth {
                ColorDepth::Truecolor => format!("\x1b[38;2;{shade};{shade};64m▀"),
                ColorDepth::Ansi256 => format!("\x1b[38;5;{}m▀", 16 + shade % 216),
                ColorDepth::Ansi16 => format!("\x1b[{}m▀", 30 + shade % 8),
                ColorDepth::Mono => "▀".to_owned(),
            };
            bytes.extend_from_slice(cell.as_bytes());
        }
    }
    bytes.extend_from_slice(b"\r\x1b[0m\x1b[K\x1b[?7h\x1b[?2026l\x1b[5n");
    bytes
}

/// On a thread of its own: a terminal that takes nothing holds up nobody.
async fn write(bytes: Vec<u8>) -> Result<(), String> {
    let written = tokio::task::spawn_blocking(move || terminal::write(&bytes)).await;
    match written {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("it was taken away".to_owned()),
        Ok(Err(error)) => Err(format!("it cannot be written to: {error}")),
        Err(error) => Err(error.to_string()),
    }
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![size(facts), colours(facts), glyphs(facts), graphics(facts)];
    if facts.answers {
        findings.push(updates(facts));
    }
    findings.push(speed(facts));
    findings
}

fn size(facts: &Facts) -> Finding {
    let Cells { cols, rows } = facts.size;
    let shown = format!("{cols}x{rows}");
    let finding = match is_too_small(facts.size) {
        false => Finding::ok(Check::Size, shown),
        true => Finding::warning(
            Check::Size,
            format!("{shown}, too small for a call"),
            "make it 40x12 at least; more cells show more of a face",
        ),
    };
    finding.with("cols", cols).with("rows", rows)
}

fn colours(facts: &Facts) -> Finding {
    let (word, shown) = match facts.depth {
        ColorDepth::Truecolor => ("truecolor", "true colour"),
        ColorDepth::Ansi256 => ("256", "256 colours: the picture is coarser than it could be"),
        ColorDepth::Ansi16 => ("16", "16 colours: the picture is coarse"),
        ColorDepth::Mono if facts.is_no_color => ("mono", "none, as NO_COLOR asks"),
        ColorDepth::Mono => ("mono", "none: pictures are shades of grey"),
    };
    let finding = match facts.depth {
        ColorDepth::Ansi256 | ColorDepth::Ansi16 => Finding::warning(
            Check::Colours,
            shown,
            "where it shows true colour, say so: --color truecolor, or COLORTERM=truecolor (SSH seldom hands it on)",
        ),
        _ => Finding::ok(Check::Colours, shown),
    };
    finding.with("depth", word)
}

fn glyphs(facts: &Facts) -> Finding {
    let name = facts
        .name
        .as_ref()
        .map(|name| SafeText::new(name, 40))
        .filter(|name| !name.is_empty());
    let named = match &name {
        Some(name) => format!(" ({name})"),
        None => String::new(),
    };
    let what = match facts.glyphs {
        Glyphs::Half => "half blocks",
        Glyphs::Quadrant => "quadrants",
        Glyphs::Sextant => "sextants",
        Glyphs::Octant => "octants",
        Glyphs::Ascii => "ASCII",
    };
    Finding::ok(Check::Glyphs, format!("{what}{named}"))
        .with("glyphs", facts.glyphs.to_string())
        .with("name", name.map(|name| name.to_string()))
}

fn graphics(facts: &Facts) -> Finding {
    let shown = match facts.graphics {
        Some(RenderMode::Kitty) => "kitty's protocol: pictures are drawn as pixels",
        Some(_) => "sixel: pictures are drawn as pixels",
        None if facts.is_nested => "none through tmux or screen: pictures are drawn with characters",
        None => "none: pictures are drawn with characters",
    };
    Finding::ok(Check::Graphics, shown).with("graphics", facts.graphics.map(|mode| mode.to_string()))
}

fn updates(facts: &Facts) -> Finding {
    let shown = match facts.is_synchronized {
        true => "synchronized: each frame is shown whole",
        false => "not synchronized: what moves fast may tear",
    };
    Finding::ok(Check::Updates, shown).with("synchronized", facts.is_synchronized)
}

fn speed(facts: &Facts) -> Finding {
    let Some(rate) = facts.rate else {
        let (message, remedy) = match facts.answers {
            true => (
                "not measured: it takes too long for what is written to it",
                "use a faster line to this terminal, or --output-rate 20 for a picture that fits it",
            ),
            false => (
                "not measured: it does not answer",
                "use a terminal that answers CSI c, as all usual ones do; a call is drawn all the same",
            ),
        };
        return Finding::warning(Check::Speed, message, remedy);
    };
    let finding = Finding::ok(Check::Speed, format!("takes {}", shown_rate(rate)));
    let finding = match rate < SLOW {
        true => finding.judged(
            Verdict::Warning,
            "the picture will be coarse; a smaller window, or a faster line to this terminal, makes it better",
        ),
        false => finding,
    };
    finding.with("bytes_per_second", rate.round())
}

fn shown_rate(rate: f64) -> String {
    match rate {
        rate if rate >= 9_950_000.0 => format!("{:.0} MB/s", rate / 1e6),
        rate if rate >= 995_000.0 => format!("{:.1} MB/s", rate / 1e6),
        rate => format!("{:.0} kB/s", rate / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Facts = Facts {
        size: Cells::new(120, 40),
        depth: ColorDepth::Truecolor,
        is_no_color: false,
        name: None,
        glyphs: Glyphs::Octant,
        graphics: None,
        is_nested: false,
        is_synchronized: true,
        answers: true,
        rate: Some(4_200_000.0),
    };

    fn verdicts(facts: &Facts) -> Vec<(Check, Verdict)> {
        let findings = judge(facts);
        assert!(
            findings
                .iter()
                .all(|f| f.remedy.is_some() == (f.verdict != Verdict::Ok)),
            "what is wrong has a remedy: {findings:?}"
        );
        findings
            .iter()
            .filter(|finding| finding.verdict != Verdict::Ok)
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }

    #[test]
    fn a_good_terminal_leaves_nothing_to_be_wished() {
        assert_eq!(verdicts(&GOOD), []);
        let speed = judge(&GOOD).pop().expect("the last line");
        assert_eq!(speed.message.as_str(), "takes 4.2 MB/s");
    }

    #[test]
    fn what_is_less_is_told_with_the_remedy() {
        use Verdict::Warning;
        for (facts, wanted) in [
            (
                Facts {
                    size: Cells::new(30, 8),
                    ..GOOD
                },
                (Check::Size, Warning),
            ),
            (
                Facts {
                    depth: ColorDepth::Ansi256,
                    ..GOOD
                },
                (Check::Colours, Warning),
            ),
            (
                Facts {
                    rate: Some(9_000.0),
                    ..GOOD
                },
                (Check::Speed, Warning),
            ),
            (Facts { rate: None, ..GOOD }, (Check::Speed, Warning)),
            (
                Facts {
                    answers: false,
                    rate: None,
                    ..GOOD
                },
                (Check::Speed, Warning),
            ),
        ] {
            assert_eq!(verdicts(&facts), [wanted], "{facts:?}");
        }
    }

    #[test]
    fn what_was_asked_for_is_no_fault() {
        let facts = Facts {
            depth: ColorDepth::Mono,
            is_no_color: true,
            ..GOOD
        };
        assert_eq!(verdicts(&facts), []);
    }

    #[test]
    fn rates_are_shown_in_two_figures() {
        for (rate, shown) in [
            (9_400.0, "9 kB/s"),
            (850_000.0, "850 kB/s"),
            (1_000_000.0, "1.0 MB/s"),
            (42_000_000.0, "42 MB/s"),
        ] {
            assert_eq!(shown_rate(rate), shown);
        }
    }

    #[test]
    fn what_is_drawn_to_measure_leaves_the_line_as_it_was() {
        for depth in [
            ColorDepth::Truecolor,
            ColorDepth::Ansi256,
            ColorDepth::Ansi16,
            ColorDepth::Mono,
        ] {
            let facts = Facts { depth, ..GOOD };
            let bytes = picture(&facts, 4096);
            assert!((4096..6 * 4096).contains(&bytes.len()), "{}", bytes.len());
            let mut parser = vt100::Parser::new(5, 120, 0);
            parser.process(b"$ facetty doctor\r\n");
            parser.process(&bytes);
            assert_eq!(parser.screen().contents().trim(), "$ facetty doctor");
            assert_eq!(parser.screen().cursor_position(), (1, 0));
        }
    }
}
